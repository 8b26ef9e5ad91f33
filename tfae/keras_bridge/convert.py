"""Networks as Keras models and back."""

import keras
import numpy as np
import tensorflow as tf

from tfae.keras_bridge.causes import NotPlain
from tfae.keras_bridge.layers import dense_stack
from tfae.nn.network import Network
from tfae.nn.scaling import Scaling
from tfae.nn.spec import Stack

CODE_NAME = "code"
SCALING_NAMES = ("center", "scale", "unscale")


def to_keras(network):
    """The `keras.Sequential` that rebuilds rows as an `Autoencoder` of this `Network` does.

    It takes and gives float rows [N, D]: images as 0 to 1, tables in their own units, the scaling
    being its first and last layer. The layer that gives the code is named "code".
    """
    stack, scaling = network.stack, network.scaling
    layers = [keras.Input((stack.features,), name="rows")]
    if scaling.center is not None:
        # Two layers, so that a column far from zero loses no digits; Keras' Normalization would
        # hold a deviation below 1e-7 for 1e-7.
        layers.append(keras.layers.Rescaling(1.0, (-scaling.center).tolist(), name="center"))
        layers.append(keras.layers.Rescaling((1.0 / scaling.width).tolist(), name="scale"))
    for number, (width, activation) in enumerate(
        zip(stack.widths[1:], stack.activations, strict=True), start=1
    ):
        dense = keras.layers.Dense(
            width, activation, name=_layer_name(stack, number), dtype="float32"
        )
        layers.append(dense)
    if scaling.center is not None:
        unscale = keras.layers.Rescaling(
            scaling.width.tolist(), scaling.center.tolist(), name="unscale"
        )
        layers.append(unscale)
    twin = keras.Sequential(layers, name="autoencoder")
    dense_layers = [layer for layer in twin.layers if isinstance(layer, keras.layers.Dense)]
    for layer, kernel, bias in zip(
        dense_layers, network.params[::2], network.params[1::2], strict=True
    ):
        layer.set_weights([kernel.numpy(), bias.numpy()])
    return twin


def from_keras(model):
    """The `Network` with the layers, a copy of the weights, and the scaling of a Keras model.

    Args:
        model: One that `to_keras` made, or a Sequential, Functional or nested one of Dense layers.

    Raises:
        ValueError: A layer is none of a dense autoencoder's; the message names it.
    """
    scaling = _scaling_of(model)
    if scaling.center is not None:
        model = keras.Sequential(
            [keras.Input(model.input_shape[1:])]
            + [layer for layer in model.layers if layer.name not in SCALING_NAMES]
        )
    try:
        dense = dense_stack(model, inference=True)
    except NotPlain as error:
        raise ValueError(
            f"{error}; an Autoencoder is Dense layers in a row, each with a bias"
        ) from None
    if len(dense.layers) < 2:
        raise ValueError("an Autoencoder has two Dense layers or more, and this model has one")
    params = [tf.Variable(variable.value) for variable in dense.variables]
    return Network(stack_of(dense), params, scaling)


def stack_of(dense):
    """The `Stack` of a `DenseStack`; the code is the layer of that name, or else the narrowest."""
    widths = (dense.layers[0].kernel.shape[0], *(layer.units for layer in dense.layers))
    names = [layer.name for layer in dense.layers[:-1]]
    narrowest = int(np.argmin(widths[1:-1]))
    code_layer = (names.index(CODE_NAME) if CODE_NAME in names else narrowest) + 1
    return Stack(widths, tuple(dense.activations), code_layer)


def load_keras(path):
    """The Keras model of a .keras file, not compiled. Raises what Keras does."""
    return keras.saving.load_model(path, compile=False)


def _scaling_of(model):
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.layers.Rescaling) and layer.name == "unscale":
            return Scaling("stored", np.float32(layer.offset), np.float32(layer.scale))
    return Scaling()


def _layer_name(stack, number):
    """Of the layer with that number, from 1."""
    if number == stack.code_layer:
        return CODE_NAME
    if number == len(stack.activations):
        return "reconstruction"
    return (
        f"encoder_{number}" if number < stack.code_layer else f"decoder_{number - stack.code_layer}"
    )
