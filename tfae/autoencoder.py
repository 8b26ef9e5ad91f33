"""The autoencoder: variables, and the functions encode, decode and reconstruct."""

import random

import tensorflow as tf

from tfae.kernels.library import load_built, run_layers
from tfae.nn.activations import activate
from tfae.nn.scaling import Scaling
from tfae.nn.spec import ACTIVATIONS


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


def scaled_inputs(rows, scaling):
    """What the first layer sees: float32 [B, D], from uint8 (divided by 255) or float rows."""
    if rows.dtype == tf.uint8:
        return tf.cast(rows, tf.float32) / 255.0
    return scaling.apply(tf.cast(rows, tf.float32))


@tf.RegisterGradient("TfaeLayers")
def _layers_gradient(op, upstream):
    """Of the native kernels' forward pass, by TensorFlow's own."""
    rows, center, width, *params = op.inputs
    activations = [ACTIVATIONS[number] for number in op.get_attr("activations")]
    with tf.GradientTape() as tape:
        sources = [*(() if rows.dtype == tf.uint8 else (rows,)), *params]
        tape.watch(sources)
        scaling = Scaling("stored", center, width) if center.shape.num_elements() else Scaling()
        logits = dense_stack(params, scaled_inputs(rows, scaling), activations)
        outputs = activate(activations[-1], logits)
    grads = tape.gradient(outputs, sources, upstream)
    of_rows = [None] if rows.dtype == tf.uint8 else [grads.pop(0)]
    return [*of_rows, None, None, *grads]


class Autoencoder(tf.Module):
    """A dense autoencoder: weights, and what they are good for.

    Rows go in as uint8 (scaled by 1/255) or as floats in their own units, and come back in the
    same units, bytes as floats from 0 to 1. The native kernels compute them where they have been
    built (`tfae.kernels`, which training builds), and TensorFlow's where not.

    Args:
        stack: The `Stack` of layers.
        scaling: The `Scaling` of a float table; the identity by default.
        seed: Of the initial weights: Glorot uniform (Glorot and Bengio, 2010) and zero biases, to
            the bit those of the same Keras layers after `keras.utils.set_random_seed(seed)`.
        initial_bias: Of the hidden layers, in place of zero.
        params: The variables to use in place of fresh ones: kernel and bias of each layer in turn.
    """

    def __init__(self, stack, scaling=None, seed=0, initial_bias=0.0, params=None):
        super().__init__(name="autoencoder")
        self.stack = stack
        self.scaling = scaling or Scaling()
        self.params = params or _initial_params(stack, seed, initial_bias)

    @classmethod
    def from_keras(cls, model):
        """The `Autoencoder` with the layers and a copy of the weights of a Keras model.

        Args:
            model: Sequential, Functional or nested, of two Dense layers or more.

        Raises:
            ValueError: It has a layer that is none of a dense autoencoder's; the message names it.
        """
        from tfae.keras_bridge import from_keras

        return from_keras(model)

    def to_keras(self):
        """The `keras.Sequential` that rebuilds float rows [N, D] as `reconstruct` does.

        Images go in and come out as 0 to 1, tables in their own units. It has a copy of the
        weights.
        """
        from tfae.keras_bridge import to_keras

        return to_keras(self)

    def encode(self, rows):
        """Codes [N, Z] float32 of rows [N, D], or of images [N, h, w] or [N, h, w, c].

        Raises:
            ValueError: The rows have another width.
        """
        rows = _as_matrix(rows, self.stack.features, "rows")
        if native := _native():
            if rows.dtype != tf.uint8:
                rows = tf.cast(rows, tf.float32)
            return self._native_layers(native, rows, self.scaling, 0, self.stack.code_layer)
        return self._encode(rows)

    def decode(self, codes):
        """Rows [N, D] float32, in their own units, of codes [N, Z].

        Raises:
            ValueError: The codes have another width.
        """
        codes = tf.cast(_as_matrix(codes, self.stack.code_size, "codes"), tf.float32)
        if native := _native():
            last = len(self.stack.activations)
            rows = self._native_layers(native, codes, Scaling(), self.stack.code_layer, last)
        else:
            rows = self._decode(codes)
        return self.scaling.invert(rows)

    def reconstruct(self, rows):
        """Rows [N, D] float32, in their own units, rebuilt from what `encode` takes."""
        return self.decode(self.encode(rows))

    @tf.function(reduce_retracing=True, autograph=False)
    def _encode(self, rows):
        return self._layers(scaled_inputs(rows, self.scaling), 0, self.stack.code_layer)

    @tf.function(reduce_retracing=True, autograph=False)
    def _decode(self, codes):
        return self._layers(codes, self.stack.code_layer, len(self.stack.activations))

    def _native_layers(self, native, inputs, scaling, first, last):
        params, activations = self.params[2 * first : 2 * last], self.stack.activations[first:last]
        return run_layers(native, inputs, params, activations, scaling)

    def _layers(self, inputs, first, last):
        activations = self.stack.activations[first:last]
        params = self.params[2 * first : 2 * last]
        return activate(activations[-1], dense_stack(params, inputs, activations))


def _initial_params(stack, seed, initial_bias):
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


def _native():
    """The native kernels, where they are built and an op can be run at once: XLA cannot take it."""
    return load_built() if tf.executing_eagerly() else None


def _as_matrix(rows, width, name):
    """The rows as a tensor [N, width]; images are flattened."""
    rows = tf.convert_to_tensor(rows)
    if rows.shape.rank > 2:
        rows = tf.reshape(rows, (rows.shape[0], -1))
    if rows.shape.rank != 2 or rows.shape[1] != width:
        raise ValueError(f"{name} must have the shape [N, {width}], got {rows.shape}")
    return rows
