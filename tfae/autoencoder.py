"""The autoencoder: a network, and the functions encode, decode and reconstruct."""

import tensorflow as tf

from tfae.engines.forward import native_forward
from tfae.nn.activations import activate
from tfae.nn.network import Network, dense_stack, initial_params, scaled_inputs
from tfae.nn.scaling import Scaling


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
        self.params = params or initial_params(stack, seed, initial_bias)

    @property
    def network(self):
        """The `Network` that an engine trains, of the same variables."""
        return Network(self.stack, self.params, self.scaling)

    @classmethod
    def from_keras(cls, model):
        """The `Autoencoder` with the layers and a copy of the weights of a Keras model.

        Args:
            model: Sequential, Functional or nested, of two Dense layers or more.

        Raises:
            ValueError: It has a layer that is none of a dense autoencoder's; the message names it.
        """
        from tfae.keras_bridge import from_keras

        network = from_keras(model)
        return cls(network.stack, network.scaling, params=network.params)

    def to_keras(self):
        """The `keras.Sequential` that rebuilds float rows [N, D] as `reconstruct` does.

        Images go in and come out as 0 to 1, tables in their own units. It has a copy of the
        weights.
        """
        from tfae.keras_bridge import to_keras

        return to_keras(self.network)

    def encode(self, rows):
        """Codes [N, Z] float32 of rows [N, D], or of images [N, h, w] or [N, h, w, c].

        Raises:
            ValueError: The rows have another width.
        """
        rows = _as_matrix(rows, self.stack.features, "rows")
        if forward := native_forward():
            if rows.dtype != tf.uint8:
                rows = tf.cast(rows, tf.float32)
            return forward(rows, *self._layers(0, self.stack.code_layer), self.scaling)
        return self._encode(rows)

    def decode(self, codes):
        """Rows [N, D] float32, in their own units, of codes [N, Z].

        Raises:
            ValueError: The codes have another width.
        """
        codes = tf.cast(_as_matrix(codes, self.stack.code_size, "codes"), tf.float32)
        if forward := native_forward():
            rows = forward(codes, *self._layers(self.stack.code_layer), Scaling())
        else:
            rows = self._decode(codes)
        return self.scaling.invert(rows)

    def reconstruct(self, rows):
        """Rows [N, D] float32, in their own units, rebuilt from what `encode` takes."""
        return self.decode(self.encode(rows))

    @tf.function(reduce_retracing=True, autograph=False)
    def _encode(self, rows):
        inputs = scaled_inputs(rows, self.scaling)
        return _forward(inputs, *self._layers(0, self.stack.code_layer))

    @tf.function(reduce_retracing=True, autograph=False)
    def _decode(self, codes):
        return _forward(codes, *self._layers(self.stack.code_layer))

    def _layers(self, first, last=None):
        """Parameters and activations of those layers."""
        last = len(self.stack.activations) if last is None else last
        return self.params[2 * first : 2 * last], self.stack.activations[first:last]


def _forward(inputs, params, activations):
    return activate(activations[-1], dense_stack(params, inputs, activations))


def _as_matrix(rows, width, name):
    """The rows as a tensor [N, width]; images are flattened."""
    rows = tf.convert_to_tensor(rows)
    if rows.shape.rank > 2:
        rows = tf.reshape(rows, (rows.shape[0], -1))
    if rows.shape.rank != 2 or rows.shape[1] != width:
        raise ValueError(f"{name} must have the shape [N, {width}], got {rows.shape}")
    return rows
