"""The layers of a Keras model: which it may have, and whether they are a plain dense stack."""

import math
from typing import NamedTuple

import keras

from tfae.nn.spec import ACTIVATIONS

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


class DenseStack(NamedTuple):
    """Dense layers in a row.

    Attributes:
        layers: The `keras.layers.Dense`.
        activations: The name of the activation that follows each.
        policy: The name of the dtype policy that all have, but for an output in float32.
        shows_sigmoid: Whether the last thing that the model computes is a sigmoid in float32, of
            which Keras' cross-entropy finds the logits.
    """

    layers: list
    activations: list
    policy: str
    shows_sigmoid: bool

    @property
    def variables(self):
        """Kernel and bias of each layer in turn."""
        return [variable for layer in self.layers for variable in (layer.kernel, layer.bias)]


def leaf_layers(model):
    """Every layer of a model that is no model itself, nested ones included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def dense_stack(model, inference=False):
    """The model as a `DenseStack`.

    Args:
        model: A Keras model.
        inference: Whether what works in training only, such as Dropout, counts for nothing.

    Raises:
        NotPlain: It has something else.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise NotPlain("it is no Keras model with weights")
    dense, activations, policies = [], [], []
    for layer in _chain(model, inference):
        kind = type(layer)
        last = layer
        if kind in _SHAPES or (inference and kind in _TRAINING_ONLY):
            if getattr(layer, "data_format", None) == "channels_first":
                raise NotPlain(f"layer {layer.name!r} is channels first")
        elif kind in (keras.layers.Activation, keras.layers.ReLU):
            if not dense or activations[-1] != "linear":
                raise NotPlain(f"the activation {layer.name!r} follows no linear Dense layer")
            activations[-1] = _activation_of(layer)
            last_activates = True
            policies.append(layer.dtype_policy.name)
        elif kind is keras.layers.Dense:
            if not inference:
                _check_trains_plainly(layer)
            dense.append(layer)
            activations.append(_activation_of(layer))
            last_activates = False
            policies.append(layer.dtype_policy.name)
        else:
            raise NotPlain(f"layer {layer.name!r} is a {kind.__name__}")
    _check_widths(model, dense)
    # Keras' guide to mixed precision has the output in float32, by an activation of its own: a last
    # Dense layer in float32 would not round what it multiplies.
    policy, in_float32 = policies[0], policies[-1] == "float32"
    if set(policies[:-1] if in_float32 and last_activates else policies) != {policy}:
        raise NotPlain(f"its layers' dtype policies are {', '.join(dict.fromkeys(policies))}")
    shows_sigmoid = activations[-1] == "sigmoid" and type(last) not in _SHAPES and in_float32
    return DenseStack(dense, activations, policy, shows_sigmoid)


def _chain(model, inference):
    """The layers that the model applies one after the other."""
    if not type(model).__module__.startswith("keras."):
        raise NotPlain(f"{type(model).__name__} is a class of its own")
    for tensor in model.inputs:
        if tensor.dtype != "float32":  # Keras casts to it
            raise NotPlain(f"the input of {model.name!r} is {tensor.dtype}")
    steps = model.layers if isinstance(model, keras.Sequential) else _functional_chain(model)
    for step in steps:
        if not inference and step.activity_regularizer is not None:
            raise NotPlain(f"layer {step.name!r} has a setting activity_regularizer")
        if isinstance(step, keras.Model):
            yield from _chain(step, inference)
        else:
            yield step


def _functional_chain(model):
    """The operations on the way from a Functional model's output back to its input, in order."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise NotPlain(f"{model.name!r} has several inputs or outputs")
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
    """The activation's name; by identity, since one of somebody's own may have Keras' name."""
    if type(layer) is keras.layers.ReLU:
        plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
        found = ["relu"] if plain else []
    else:
        found = [n for n in ACTIVATIONS if layer.activation is keras.activations.get(n)]
    if not found:
        raise NotPlain(f"layer {layer.name!r} has an activation that is none of tfae's")
    return found[0]


def _check_trains_plainly(layer):
    for name in ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint"):
        if getattr(layer, name) is not None:
            raise NotPlain(f"layer {layer.name!r} has a setting {name}")
    for variable in layer.trainable_variables:
        if variable.constraint is not None or variable.regularizer is not None:
            raise NotPlain(f"layer {layer.name!r} has a constraint or a regularizer")
    if not layer.trainable:
        raise NotPlain(f"layer {layer.name!r} is not trainable")


def _check_widths(model, dense):
    if not dense or len(set(map(id, dense))) < len(dense):
        raise NotPlain("it has a Dense layer twice" if dense else "it has no Dense layers")
    if None in model.input_shape[1:]:
        raise NotPlain("its rows may have any shape")
    width = math.prod(model.input_shape[1:])
    for layer in dense:
        if layer.bias is None:
            raise NotPlain(f"layer {layer.name!r} has no bias")
        if layer.kernel.shape[0] != width or layer.lora_enabled or layer.quantization_mode:
            raise NotPlain(f"layer {layer.name!r} is not one product of all that it is given")
        width = layer.units
