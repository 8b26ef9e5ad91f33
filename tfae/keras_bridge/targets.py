"""Rows and targets held against a Keras model, before anything trains."""

import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from tfae.keras_bridge.failures import said_of

PROBE_ROWS = 7  # which is hardly ever another dimension, too
# Their targets are labels, a number for a whole vector of outputs.
OF_LABELS = (
    "SparseCategoricalCrossentropy",
    "sparse_categorical_crossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "categorical_generalized_cross_entropy",
    "Circle",
    "circle",
)
CHOSEN_BY_KERAS = ("crossentropy", "ce")  # of labels, too
OF_ANY_LENGTH = ("CTC", "ctc")
# Of targets that are probabilities.
CROSS_ENTROPIES = (
    "BinaryCrossentropy",
    "binary_crossentropy",
    "BinaryFocalCrossentropy",
    "binary_focal_crossentropy",
    "CategoricalCrossentropy",
    "categorical_crossentropy",
    "CategoricalFocalCrossentropy",
    "categorical_focal_crossentropy",
)


def probed(data):
    """The first rows: so many that what is broadcast over them shows, as over one it would not."""
    return data.rows(slice(PROBE_ROWS))


def outputs_for(model, data):
    """What a model gives for the first rows, of `probed`; its variables are made by that.

    Raises:
        ValueError: The rows are none of the model's.
    """
    _check_count(model, data.x)
    shapes = tf.nest.map_structure(lambda array: array.shape[1:], data.x)
    with said_of(f"the model does not take rows of the shape {shapes}"):
        if isinstance(model, keras.Sequential) and not model.built:
            model.build((None, *shapes))
    _check_rows(model, data.x)
    with said_of(f"the model does not take rows of the shape {shapes}"):
        return model(probed(data).x, training=False)


def check_targets(loss, data, output_shape):
    """Refuse targets that Keras would broadcast, or hold against those of other rows.

    Args:
        loss: As `compile` was given it.
        data: The `Data`.
        output_shape: Of the model's outputs, [rows, ...].

    Raises:
        ValueError: With both shapes, and the `reshape` that helps where there is one.
    """
    if not is_of_keras(loss):
        return  # which may take whatever it likes
    row, y = tuple(output_shape[1:]), data.y
    name = loss_name(loss)
    allowed = [(len(y), *shape) for shape in _allowed(name, row)]
    if name in OF_ANY_LENGTH or y.shape in allowed:
        return
    must = f"y must have the shape {' or '.join(map(str, allowed))}"
    if name in OF_LABELS:
        must += f", the labels that {name} takes"
    reshaped = [shape for shape in allowed if _has_as_many(y, shape)]
    if data.y is not data.x:
        said = f"y has the shape {y.shape}, and the model gives {(len(y), *row)}: "
        said += _reshape("y", reshaped[0]) if reshaped else must
    else:
        gives = f"{row[0]} numbers a row" if len(row) == 1 else f"rows of the shape {row}"
        said = f"y equals x, of the shape {y.shape}, and " if data.y_is_given else ""
        said += f"the model gives {gives}: {must}"
        said += f", which {_reshape('x', reshaped[0])}" if reshaped else ""
    raise ValueError(said)


def warn_beyond(loss, *parts):
    """Warn, once, where a cross-entropy's targets are no probabilities.

    Args:
        loss: As `compile` was given it.
        *parts: Each a `Data`, or None.
    """
    name = loss_name(loss)
    for data in filter(None, parts):
        if not data.is_single():
            return
        which, y = "x" if data.y is data.x else "y", data.y
        is_chosen = name in CHOSEN_BY_KERAS and y.ndim > 1 and y.shape[-1] > 1
        if not (is_chosen or name in CROSS_ENTROPIES):
            return
        least, most = float(np.min(y)), float(np.max(y))
        if least < 0 or most > 1:
            warnings.warn(
                f"{name} of targets beyond 0..1 has no lower bound, and {which} goes from "
                f"{least:.6g} to {most:.6g}: scale it to 0..1 (bytes by / 255), or compile with "
                "loss='mse'",
                stacklevel=3,
            )
            return


def is_of_keras(loss):
    """Whether what `compile` was given is one of Keras' own losses."""
    kind = loss if isinstance(loss, str) or hasattr(loss, "__name__") else type(loss)
    return isinstance(loss, str) or kind.__module__.startswith("keras.")


def loss_name(loss):
    """As Keras calls what `compile` was given, or what somebody's own is, as a phrase."""
    if not is_of_keras(loss):
        name = getattr(loss, "__name__", None)
        if name is None:
            return f"an object of your own ({type(loss).__name__})"
        return f"a function of your own ({'a lambda' if name == '<lambda>' else repr(name)})"
    if isinstance(loss, str):
        if loss.lower() in CHOSEN_BY_KERAS:
            return loss.lower()
        loss = keras.losses.get(loss)
    return getattr(loss, "__name__", type(loss).__name__)


def _allowed(name, row):
    """The shapes of a row's targets, where the outputs of a row have the shape `row`."""
    labels = [row[:-1], (*row[:-1], 1)]
    if name in OF_LABELS:
        return labels
    # Keras expands a last dimension of 1 that the targets lack.
    squeezed = [row[:-1]] if row[-1:] == (1,) else []
    return [row, *squeezed, *(labels if name in CHOSEN_BY_KERAS else ())]


def _check_count(model, x):
    """Refuse several arrays for a model of one, and one for a model of several."""
    inputs = getattr(model, "inputs", None)
    if not inputs or isinstance(x, dict):  # of which Keras takes those that it knows
        return
    given = 1 if isinstance(x, np.ndarray) else len(x)
    if given != len(inputs):
        wanted = "one array" if len(inputs) == 1 else f"a list of {len(inputs)} arrays"
        got = "one" if given == 1 else f"a {type(x).__name__} of several ({given})"
        raise ValueError(f"x must be {wanted}, got {got}")


def _check_rows(model, x):
    wanted = getattr(model, "input_shape", None)
    if not isinstance(x, np.ndarray) or not isinstance(wanted, tuple):
        return  # several, or of a model with a call of its own
    wanted = (None, *wanted[1:])  # that of its first batch is kept, too
    if len(wanted) != x.ndim or any(
        n not in (None, given) for n, given in zip(wanted[1:], x.shape[1:], strict=True)
    ):
        remedy = "give rows of that shape"
        if None not in wanted[1:] and _has_as_many(x, wanted):
            remedy = _reshape("x", wanted)
        raise ValueError(f"x has the shape {x.shape}, and the model takes {wanted}: {remedy}")


def _has_as_many(rows, shape):
    return math.prod(rows.shape[1:]) == math.prod(shape[1:])


def _reshape(name, shape):
    return f"{name}.reshape({', '.join(map(str, (-1, *shape[1:])))}) has it"
