"""The random numbers of Keras' layers inside a compiled step."""

import contextlib

from tensorflow.python.ops import random_ops_util

_CHOSEN_BY_TENSORFLOW = (None, "auto_select", random_ops_util.Algorithm.AUTO_SELECT.value)


@contextlib.contextmanager
def by_philox():
    """Have what is traced meanwhile draw by philox wherever no algorithm is asked for.

    XLA on a CPU takes forty times as long for what TensorFlow leaves to it to choose: 188 ms
    against 4.7 for the noise and the dropout of a batch [250, 1000]. Philox is what TensorFlow
    itself draws by, outside of XLA; Keras' layers have no argument for it.
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
