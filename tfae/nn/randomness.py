"""Random numbers that follow from a seed, a purpose and counters, never from what was drawn before.

A resumed run, another engine or another machine therefore draws what the first one would have.
"""

import numpy as np

_STREAMS = {"order": 0, "blocks": 1, "split": 2}


def generator(seed, purpose, *counters):
    """A numpy Generator of its own for this seed, purpose and counters.

    Args:
        seed: The run's seed.
        purpose: "order", "blocks" or "split".
        *counters: Non-negative ints, such as an epoch and a block.
    """
    return np.random.default_rng([seed, _STREAMS[purpose], *counters])
