"""The random numbers of Keras' layers inside a compiled step."""

import contextlib

from tensorflow.python.ops import random_ops_util

_CHOSEN_BY_TENSORFLOW = (None, "auto_select", random_ops_util.Algorithm.AUTO_SELECT.value)


@contextlib.contextmanager
def by_philox():
    """Have what is traced meanwhile draw by philox wherever no algorithm is asked for.

    XLA on a CPU takes some twenty times as long for what TensorFlow leaves to it to choose. Philox
    is what TensorFlow itself draws by, outside of XLA; Keras' layers have no argument for it.
    """
    chosen = random_ops_util.get_key_counter_alg

    def philox(seed, alg):
        automatic = not hasattr(alg, "shape") and alg in _CHOSEN_BY_TENSORFLOW
        return chosen(seed, "philox" if automatic else alg)

    random_ops_util.get_key_counter_alg = philox
    try:
        yield
    finally:
        random_ops_util.get_key_counter_alg = chosen
