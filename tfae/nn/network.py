"""A network: a stack of dense layers with its weights, and the functions that go through it."""

import random
from dataclasses import dataclass, field

import tensorflow as tf

from tfae.nn.activations import activate
from tfae.nn.scaling import Scaling
from tfae.nn.spec import Stack


@dataclass(frozen=True, eq=False)
class Network:
    """What is trained, and all that an engine knows of an autoencoder.

    Attributes:
        stack: The `Stack` of layers.
        params: Variables, kernel and bias of each layer in turn: [I, O], [O], ... float32.
        scaling: The `Scaling` of float rows.
    """

    stack: Stack
    params: list
    scaling: Scaling = field(default_factory=Scaling)


def initial_params(stack, seed=0, initial_bias=0.0):
    """The variables of a network that has learnt nothing yet.

    Args:
        stack: The `Stack`.
        seed: Of the kernels: Glorot uniform (Glorot and Bengio, 2010), to the bit those of the same
            Keras layers after `keras.utils.set_random_seed(seed)`.
        initial_bias: Of the hidden layers; the last layer's biases are zero.
    """
    params = []
    seeds = random.Random(seed)  # a seed a kernel, drawn as Keras draws them
    last = len(stack.layer_shapes) - 1
    for layer, (inputs, outputs) in enumerate(stack.layer_shapes):
        limit = (6.0 / (inputs + outputs)) ** 0.5
        kernel = tf.random.stateless_uniform(
            (inputs, outputs), (seeds.randint(1, 10**9), 0), minval=-limit, maxval=limit
        )
        params.append(tf.Variable(kernel, name=f"kernel_{layer}"))
        bias = tf.fill((outputs,), 0.0 if layer == last else initial_bias)
        params.append(tf.Variable(bias, name=f"bias_{layer}"))
    return params


def scaled_inputs(rows, scaling):
    """What the first layer sees: float32 [B, D], from uint8 (divided by 255) or float rows."""
    if rows.dtype == tf.uint8:
        return tf.cast(rows, tf.float32) / 255.0
    return scaling.apply(tf.cast(rows, tf.float32))


def dense_stack(params, inputs, activations, matmul=tf.matmul):
    """The last layer's pre-activations (the logits) of a stack of dense layers.

    Args:
        params: Kernel and bias of each layer in turn: [I, O], [O], ...
        inputs: [B, I] float32.
        activations: A name a layer. The last one is not applied: losses want the logits.
        matmul: The product of [B, I] and [I, O]; a mixed precision brings its own.

    Returns:
        [B, O] float32, O being the last layer's width.
    """
    hidden = inputs
    for layer, (kernel, bias) in enumerate(zip(params[::2], params[1::2], strict=True)):
        if layer:
            hidden = activate(activations[layer - 1], hidden)
        hidden = matmul(hidden, kernel) + bias  # [B, O]
    return hidden
