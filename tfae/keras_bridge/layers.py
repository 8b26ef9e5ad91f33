"""The layers of a Keras model: which it may have, and whether they are a plain dense stack."""

import math
from typing import NamedTuple

import keras

from tfae.keras_bridge.causes import Causes, a
from tfae.nn.spec import ACTIVATIONS

# Of Keras' rooms of layers, those whose programs XLA takes longer for on a CPU than TensorFlow.
_NOT_FOR_XLA = {"convolutional", "pooling", "rnn", "attention"}
_SHAPES = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape)
_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
)


class DenseStack(NamedTuple):
    """Dense layers in a row.

    Attributes:
        layers: The `keras.layers.Dense`.
        activations: The name of the activation that follows each.
        policy: The name of the dtype policy that all have, but for an output in float32.
        in_float32: Whether the last activation is computed in float32.
        hidden_by: The name of a layer that gives what the last activation gave another shape, or
            None: Keras' cross-entropy then does not find the logits of a sigmoid.
    """

    layers: list
    activations: list
    policy: str
    in_float32: bool
    hidden_by: str | None

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


def is_for_xla(model):
    """Whether XLA is any faster than TensorFlow for what the model's layers compute."""
    modules = (
        base.__module__.split(".")
        for layer in model._flatten_layers()
        for base in type(layer).__mro__
    )
    return not any(
        path[:3] == ["keras", "src", "layers"] and path[3] in _NOT_FOR_XLA for path in modules
    )


def dense_stack(model, inference=False):
    """The model as a `DenseStack`.

    Args:
        model: A Keras model.
        inference: Whether what works in training only, such as Dropout, counts for nothing.

    Raises:
        NotPlain: It has something else; all of it is named.
    """
    causes = Causes()
    found = read_stack(model, causes, inference)
    causes.check()
    return found


def read_stack(model, causes, inference=False):
    """The model as a `DenseStack`, why it is none added to these `Causes`.

    With causes, it is what the layers that are known would be; None where they are no chain.
    """
    if not isinstance(model, keras.Model) or not model.built:
        causes.add("it", "is no Keras model with weights")
        return None
    of_layers, of_chain = Causes(), Causes()
    for layer in leaf_layers(model):
        _check_layer(layer, of_layers, inference)
    chain = list(_chain(model, of_chain, inference))
    found = None if of_chain else _stack_of(model, chain, of_chain)
    for cause in (*of_layers, *of_chain):
        causes.add(*cause)
    return found


def _check_layer(layer, causes, inference):
    """Add what hinders a layer, wherever in the model it is."""
    kind, name = type(layer), f"layer {layer.name!r}"
    if kind in _SHAPES:
        if getattr(layer, "data_format", None) == "channels_first":
            causes.add(name, "is channels first")
    elif kind in _TRAINING_ONLY:
        if not inference:
            causes.add(name, f"is {a(kind)}")
        return
    elif kind in (keras.layers.Activation, keras.layers.ReLU, keras.layers.Dense):
        if _activation_of(layer) is None:
            causes.add(name, f"has an activation that is none of tfae's{_named(layer)}")
    else:
        causes.add(name, f"is {a(kind)}")
    if kind is keras.layers.Dense:
        if layer.bias is None:
            causes.add(name, "has no bias")
        if layer.lora_enabled or layer.quantization_mode:
            causes.add(name, "is not one product of all that it is given")
    if not inference:
        _check_trains_plainly(layer, causes)


def _check_trains_plainly(layer, causes):
    settings = ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")
    found = [name for name in settings if getattr(layer, name, None) is not None]
    for name in found:
        causes.add(f"layer {layer.name!r}", f"has a {name}")
    _check_activity(layer, causes)
    for variable in layer.trainable_variables:
        if not found and (variable.constraint is not None or variable.regularizer is not None):
            causes.add(f"layer {layer.name!r}", "has a constraint or a regularizer")
    if not layer.trainable and layer.weights:
        causes.add(f"layer {layer.name!r}", "is not trainable")


def _check_activity(layer, causes):
    if layer.activity_regularizer is not None:
        causes.add(f"layer {layer.name!r}", "has an activity_regularizer")


def _chain(model, causes, inference):
    """The layers that the model applies one after the other, as far as they are in a chain."""
    if not type(model).__module__.startswith("keras."):
        causes.add(type(model).__name__, "is a class of its own")
        return
    for tensor in model.inputs:
        if tensor.dtype != "float32":  # Keras casts to it
            causes.add(f"the input of {model.name!r}", f"is {tensor.dtype}")
    steps = model.layers if isinstance(model, keras.Sequential) else _functional(model, causes)
    for step in steps:
        if isinstance(step, keras.Model):
            if not inference:
                _check_activity(step, causes)
            yield from _chain(step, causes, inference)
        else:
            yield step


def _functional(model, causes):
    """The operations on the way from a Functional model's output back to its input, in order."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        causes.add(repr(model.name), "has several inputs or outputs")
        return ()
    steps, tensor = [], model.outputs[0]
    while tensor is not model.inputs[0]:
        operation, node_index, _ = tensor._keras_history
        inputs = operation._inbound_nodes[node_index].input_tensors
        if isinstance(operation, keras.layers.Layer):
            steps.append(operation)
        else:
            causes.add("it", f"computes {operation.name!r} between its layers")
        if len(inputs) != 1:
            causes.add(f"{operation.name!r}", f"has {len(inputs)} inputs")
            break
        tensor = inputs[0]
    return reversed(steps)


def _stack_of(model, chain, causes):
    """The `DenseStack` of layers in a row, of which those that are not known count for nothing."""
    dense, activations, policies, hidden_by, last_activates = [], [], [], None, False
    for layer in chain:
        kind = type(layer)
        if kind is keras.layers.Dense:
            dense.append(layer)
            activations.append(_activation_of(layer))
        elif kind in (keras.layers.Activation, keras.layers.ReLU):
            if not dense or activations[-1] not in ("linear", None):
                causes.add(f"the activation {layer.name!r}", "follows no linear Dense layer")
                continue
            activations[-1] = _activation_of(layer)
        else:
            hidden_by = hidden_by or (layer.name if kind in _SHAPES else None)
            continue
        hidden_by, last_activates = None, kind is not keras.layers.Dense
        policies.append(layer.dtype_policy.name)
    _check_widths(model, dense, causes)
    if not dense:
        return None
    # Keras' guide to mixed precision has the output in float32, by an activation of its own: a last
    # Dense layer in float32 would not round what it multiplies.
    policy, in_float32 = policies[0], policies[-1] == "float32"
    if set(policies[:-1] if in_float32 and last_activates else policies) != {policy}:
        causes.add("its layers'", f"dtype policies are {', '.join(dict.fromkeys(policies))}")
    return DenseStack(dense, activations, policy, in_float32, hidden_by)


def _activation_of(layer):
    """The activation's name, or None; by identity, since somebody's own may have Keras' name."""
    if type(layer) is keras.layers.ReLU:
        plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
        return "relu" if plain else None
    found = (name for name in ACTIVATIONS if layer.activation is keras.activations.get(name))
    return next(found, None)


def _named(layer):
    """The activation of a layer that has one, as an addition."""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return ""
    own = "" if activation.__module__.startswith("keras.") else "your own "
    return f" ({own}{getattr(activation, '__name__', type(activation).__name__)})"


def _check_widths(model, dense, causes):
    if not dense or len(set(map(id, dense))) < len(dense):
        causes.add("it", "has a Dense layer twice" if dense else "has no Dense layers")
    if None in model.input_shape[1:]:
        causes.add("its rows", "may have any shape")
        return
    width = math.prod(model.input_shape[1:])
    for layer in dense:
        if layer.kernel.shape[0] != width:
            causes.add(f"layer {layer.name!r}", "is not one product of all that it is given")
        width = layer.units
