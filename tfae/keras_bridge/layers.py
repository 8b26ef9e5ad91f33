"""The layers of a Keras model: which it may have, and whether they are a plain dense stack."""

import math

import keras

from tfae.precision import PRECISIONS
from tfae.spec import ACTIVATIONS

# Those that a dense autoencoder is built of. Their epochs compile; that of others was never tried.
TAKEN = (
    keras.layers.InputLayer,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Rescaling,
    keras.layers.Dense,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
    keras.layers.BatchNormalization,
)
_SHAPES = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape)
_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
)


class NotPlain(Exception):
    """A model is none that tfae's own engines compute; the message is a phrase for a person."""


def leaf_layers(model):
    """Every layer of a model that is no model itself, nested ones included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def dense_stack(model, inference=False):
    """The model as dense layers in a row.

    Args:
        model: A built Keras model.
        inference: Whether what works in training only, such as Dropout, counts for nothing.

    Returns:
        (layers, activations, policy): the `Dense` layers, the name of the activation that follows
        each, and the name of the dtype policy that all of them have.

    Raises:
        NotPlain: It has something else.
    """
    if not model.built:
        raise NotPlain("it has no weights yet")
    dense, activations = [], []
    for layer in _chain(model):
        kind = type(layer)
        if kind in _SHAPES or (inference and kind in _TRAINING_ONLY):
            continue
        if kind in (keras.layers.Activation, keras.layers.ReLU):
            if not dense or activations[-1] != "linear":
                raise NotPlain(f"the activation {layer.name!r} follows no linear Dense layer")
            activations[-1] = _activation_of(layer)
        elif kind is keras.layers.Dense:
            if not inference:
                _check_trains_plainly(layer)
            dense.append(layer)
            activations.append(_activation_of(layer))
        else:
            raise NotPlain(f"layer {layer.name!r} is a {kind.__name__}")
    _check_widths(model, dense)
    policies = {layer.dtype_policy.name for layer in dense}
    if len(policies) > 1 or not policies <= set(PRECISIONS):
        raise NotPlain(f"the layers' dtype policies are {', '.join(sorted(policies))}")
    return dense, activations, policies.pop()


def _chain(model):
    """The layers that the model applies one after the other."""
    if isinstance(model, keras.Sequential) and type(model).__module__.startswith("keras."):
        steps = model.layers
    else:
        steps = _functional_chain(model)
    for step in steps:
        if isinstance(step, keras.Model):
            yield from _chain(step)
        else:
            yield step


def _functional_chain(model):
    """The operations on the way from a Functional model's output back to its input, in order."""
    if not type(model).__module__.startswith("keras.") or not hasattr(model, "outputs"):
        raise NotPlain(f"{type(model).__name__} has a call() of its own")
    steps, tensor = [], model.outputs[0]
    while tensor is not model.inputs[0]:
        operation, node_index, _ = tensor._keras_history
        if not isinstance(operation, keras.layers.Layer):
            raise NotPlain(f"it computes {operation.name!r} between its layers")
        inputs = operation._inbound_nodes[node_index].input_tensors
        if len(inputs) != 1:
            raise NotPlain(f"layer {operation.name!r} has {len(inputs)} inputs")
        steps.append(operation)
        tensor = inputs[0]
    return reversed(steps)


def _activation_of(layer):
    if type(layer) is keras.layers.ReLU:
        plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
        name = "relu" if plain else None
    else:
        name = keras.activations.serialize(layer.activation)
    if name not in ACTIVATIONS:
        raise NotPlain(f"layer {layer.name!r} has an activation that is none of tfae's")
    return name


def _check_trains_plainly(layer):
    for name in (
        "kernel_regularizer",
        "bias_regularizer",
        "activity_regularizer",
        "kernel_constraint",
        "bias_constraint",
    ):
        if getattr(layer, name) is not None:
            raise NotPlain(f"layer {layer.name!r} has a setting {name}")
    if not layer.trainable:
        raise NotPlain(f"layer {layer.name!r} is not trainable")


def _check_widths(model, dense):
    if not dense or len(set(map(id, dense))) < len(dense):
        raise NotPlain("it has no Dense layers" if not dense else "it has a Dense layer twice")
    width = math.prod(model.input_shape[1:])
    for layer in dense:
        if layer.bias is None:
            raise NotPlain(f"layer {layer.name!r} has no bias")
        if layer.kernel.shape[0] != width or layer.lora_enabled or layer.quantization_mode:
            raise NotPlain(f"layer {layer.name!r} is not one product of all that it is given")
        width = layer.units
