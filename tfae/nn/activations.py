"""The activations by name, in Keras' formulation."""

import tensorflow as tf

_ACTIVATIONS = {
    "relu": tf.nn.relu,
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "silu": tf.nn.silu,
    "tanh": tf.nn.tanh,
    "sigmoid": tf.nn.sigmoid,
    "linear": tf.identity,
}


def activate(name, pre_activations):
    """The activation of that name, of float32 pre-activations of any shape."""
    return _ACTIVATIONS[name](pre_activations)
