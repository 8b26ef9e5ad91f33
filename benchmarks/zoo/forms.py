"""Set-ups that differ in the form of what `fit` is given: frames, dictionaries, labels."""

import keras
import numpy as np
from keras import layers

from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import pixels, rebuilt, standard, unit
from benchmarks.zoo.set_up import set_up

CATEGORIES = {"device": 12, "country": 60, "browser": 25}


@set_up(
    "a common form: float64 rows as pandas has them, normalised by an adapted layer",
    rebuilt(lambda count, images: 5 + 3 * standard(24)(count, images).astype(np.float64)),
    rows=10_000,
    epochs=50,
    validation_split=0.2,
)
def adapted_normalization():
    """24-12-6-12-24 behind Normalization, and back by its inverse."""
    sample = np.random.default_rng(0).normal(5, 3, (100, 24))
    there, back = layers.Normalization(), layers.Normalization(invert=True)
    for layer in (there, back):
        layer.adapt(sample)
    model = sequential(24, there, dense(12, 6, 12, 24), back)
    model.compile("adam", "mse")
    return model


def _framed(count, images):
    import pandas

    rows = unit(16)(count, images)
    frame = pandas.DataFrame(rows, columns=[f"sensor {number}" for number in range(16)])
    return {"x": frame, "y": frame}


@set_up(
    "a common form of notebooks: a pandas frame as it was read",
    _framed,
    rows=8000,
    epochs=50,
    validation_split=0.1,
)
def pandas_frame():
    """16-8-3-8-16 with sigmoids throughout."""
    model = sequential(16, dense(8, 3, 8, 16, hidden="sigmoid", last="sigmoid"))
    model.compile("adam", "mse")
    return model


def _with_categories(count, images):
    rng = np.random.default_rng(0)
    columns = {"numbers": unit(10)(count, images)}
    for name, most in CATEGORIES.items():
        columns[name] = np.minimum(rng.geometric(0.1, (count, 1)), most - 1)
    return {"x": columns, "y": columns}


@set_up(
    "a common form of categorical columns: embeddings in, a softmax of each out",
    _with_categories,
    rows=30_000,
    batch_size=256,
    epochs=30,
)
def embedded_columns():
    """Numbers and three categories, 32-8-32, a loss for each column."""
    inputs = {"numbers": keras.Input((10,), name="numbers")}
    inputs |= {name: keras.Input((1,), name=name, dtype="int32") for name in CATEGORIES}
    known = [layers.Flatten()(layers.Embedding(CATEGORIES[n], 4)(inputs[n])) for n in CATEGORIES]
    hidden = layers.Concatenate()([inputs["numbers"], *known])
    for layer in dense(32, 8, 32, last="relu"):
        hidden = layer(hidden)
    outputs = {"numbers": layers.Dense(10, name="numbers_out")(hidden)}
    losses = {"numbers": "mse"}
    for name, most in CATEGORIES.items():
        outputs[name] = layers.Dense(most, "softmax", name=f"{name}_out")(hidden)
        losses[name] = "sparse_categorical_crossentropy"
    model = keras.Model(inputs, outputs)
    model.compile("adam", losses)
    return model


def _labelled(count, images):
    rows = standard(29)(count, images)
    return {"x": rows, "y": (rows[:, 0] > 2).astype(np.int32)}


@set_up(
    "a common form of fraud notebooks: a classifier on a frozen encoder, class_weight",
    _labelled,
    rows=50_000,
    batch_size=256,
    epochs=20,
    class_weight={0: 1.0, 1: 20.0},
)
def frozen_encoder():
    """29-14-7 that does not train, then 7-4-1."""
    encoder = sequential(29, dense(14, 7, last="relu"))
    encoder.trainable = False
    model = sequential(29, encoder, dense(4, 1, last="sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC()])
    return model


def _with_labels(count, images):
    rows = pixels(784)(count, images)
    return {"x": rows, "y": [rows, (rows[:, 300:310].argmax(1)).astype(np.int32)]}


@set_up(
    "a common form of semi-supervised autoencoders: a classifier beside the decoder",
    _with_labels,
    rows=60_000,
    batch_size=128,
    epochs=20,
)
def classifier_beside():
    """784-128-32, then the reconstruction and ten classes as a list of outputs."""
    rows = keras.Input((784,))
    codes = layers.Dense(32, "relu")(layers.Dense(128, "relu")(rows))
    rebuilt_rows = layers.Dense(784, "sigmoid", name="rebuilt")(layers.Dense(128, "relu")(codes))
    classes = layers.Dense(10, "softmax", name="classes")(codes)
    model = keras.Model(rows, [rebuilt_rows, classes])
    losses = ["binary_crossentropy", "sparse_categorical_crossentropy"]
    model.compile("adam", losses, loss_weights=[1.0, 0.1], metrics=[None, ["accuracy"]])
    return model
