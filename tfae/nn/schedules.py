"""Learning rates as pure functions of the step, each checked against Keras' `CosineDecay`."""

import math

import tensorflow as tf

WARMUP_FRACTION = 0.1
WARMUP_DIVISOR = 25.0  # one-cycle starts at the peak over this, as is usual


def make_schedule(name, learning_rate, total_steps):
    """The schedule of that name.

    Args:
        name: "constant"; "cosine", from `learning_rate` to 0 over `total_steps`; or "one_cycle", a
            linear warm-up to `learning_rate` over the first tenth, then a cosine to 0
            (Smith, 2018).
        learning_rate: The highest value.
        total_steps: Of the whole run.

    Returns:
        A function from steps (int64, from 0) to learning rates (float32, of the same shape).
    """
    warmup_steps = int(WARMUP_FRACTION * total_steps) if name == "one_cycle" else 0
    decay_steps = max(total_steps - warmup_steps, 1)

    def constant(step):
        return tf.fill(tf.shape(step), tf.constant(learning_rate, tf.float32))

    def cosine(step):
        step = tf.cast(step, tf.float32)
        done = tf.clip_by_value((step - warmup_steps) / decay_steps, 0.0, 1.0)
        decayed = learning_rate * 0.5 * (1.0 + tf.cos(math.pi * done))
        if not warmup_steps:
            return decayed
        start = learning_rate / WARMUP_DIVISOR
        return tf.where(
            step < warmup_steps, start + (learning_rate - start) * step / warmup_steps, decayed
        )

    return constant if name == "constant" else cosine
