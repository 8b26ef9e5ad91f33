"""Keras models out and in; the only room that imports keras."""

import keras
import numpy as np

from tfae.model import Autoencoder
from tfae.scaling import Scaling
from tfae.spec import ACTIVATIONS, Stack

CODE_NAME = "code"
SCALING_NAMES = ("center", "scale", "unscale")


def to_keras(model):
    """The `keras.Sequential` that rebuilds rows as `model.reconstruct` does.

    It takes and gives float rows [N, D]: images as 0 to 1, tables in their own units, the scaling
    being its first and last layer. The layer that gives the code is named "code".
    """
    stack, scaling = model.stack, model.scaling
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
        dense_layers, model.params[::2], model.params[1::2], strict=True
    ):
        layer.set_weights([kernel.numpy(), bias.numpy()])
    return twin


def from_keras(twin):
    """The `Autoencoder` with the layers, weights and scaling of a model made by `to_keras`.

    Raises:
        ValueError: A layer is none that `to_keras` makes; the message names it.
    """
    scaling, dense = Scaling(), []
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Dense):
            dense.append(layer)
        elif isinstance(layer, keras.layers.Rescaling) and layer.name in SCALING_NAMES:
            if layer.name == "unscale":
                center, width = np.float32(layer.offset), np.float32(layer.scale)
                scaling = Scaling("stored", center, width)
        else:
            raise ValueError(
                f"layer {layer.name!r} is a {type(layer).__name__}; only Dense layers, with the "
                "Rescaling of a table around them, can be taken"
            )
    activations = tuple(keras.activations.serialize(layer.activation) for layer in dense)
    unknown = [name for name in activations if name not in ACTIVATIONS]
    if len(dense) < 2 or unknown or any(layer.bias is None for layer in dense):
        raise ValueError(
            "an autoencoder has two Dense layers or more, each with a bias and an activation of "
            + ", ".join(ACTIVATIONS)
        )
    widths = (dense[0].kernel.shape[0], *(layer.units for layer in dense))
    names = [layer.name for layer in dense]
    narrowest = int(np.argmin(widths[1:-1]))
    code_layer = (names.index(CODE_NAME) if CODE_NAME in names else narrowest) + 1
    model = Autoencoder(Stack(widths, activations, code_layer), scaling)
    weights = [weight for layer in dense for weight in (layer.kernel, layer.bias)]
    for param, weight in zip(model.params, weights, strict=True):
        param.assign(weight)
    return model


def _layer_name(stack, number):
    """Of the layer with that number, from 1."""
    if number == stack.code_layer:
        return CODE_NAME
    if number == len(stack.activations):
        return "reconstruction"
    return (
        f"encoder_{number}" if number < stack.code_layer else f"decoder_{number - stack.code_layer}"
    )


def load_keras(path):
    """The `Autoencoder` of a .keras file. Raises what Keras does, and what `from_keras` does."""
    return from_keras(keras.saving.load_model(path, compile=False))
