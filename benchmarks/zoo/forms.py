"""Rows and models in the forms that people give them."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.zoo.parts import compiled, dense, stack
from benchmarks.zoo.rows import batches, generated, tabular
from benchmarks.zoo.set_up import set_up


class SwapNoise(keras.utils.PyDataset):
    """Batches of rows in which some numbers are those of other rows."""

    def __init__(self, rows, batch_size):
        super().__init__()
        self.rows, self.batch_size = rows, batch_size

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, batch):
        part = self.rows[batch * self.batch_size : (batch + 1) * self.batch_size]
        rng = np.random.default_rng(batch)
        swapped = rng.random(part.shape) < 0.15
        return np.where(
            swapped, self.rows[rng.permutation(len(self.rows))[: len(part)]], part
        ), part


def _swapped(count):
    rows = tabular(46, "standardized")(count)["x"]
    return lambda: {"x": SwapNoise(rows, 1024)}


@set_up("a public notebook: swap noise by a keras Sequence", _swapped, 20_000, None, 20)
def swap_noise():
    return compiled(stack(46, *dense(1000, 500, 128, 500, 1000, 46)), "adam", "mse")


@set_up("a common form: a Dataset of batches", batches(tabular(30), 128), 50_000, None, 20)
def from_dataset():
    return compiled(stack(30, *dense(20, 8, 20, 30)), "adam", "mse", metrics=["mae"])


def _noisy_dataset(count):
    rows = tabular(30)(count)["x"]
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(64)
    noisy = dataset.map(
        lambda part: (part + tf.random.stateless_normal(tf.shape(part), [1, 2], 0.0, 0.1), part)
    )
    return {"x": noisy.prefetch(tf.data.AUTOTUNE), "shuffle": False}


@set_up("a common form: noise by a Dataset's map", _noisy_dataset, 30_000, None, 20)
def noise_by_map():
    return compiled(stack(30, *dense(20, 8, 20, 30, last="sigmoid")), "adam", "binary_crossentropy")


@set_up("a common form: a generator of batches", generated(tabular(40), 64), 20_000, None, 20)
def from_generator():
    return compiled(stack(40, *dense(32, 8, 32, 40)), "adam", "mae")


def _two_kinds(count):
    halves = tabular(40)(count)["x"], tabular(25, "standardized")(count)["x"]
    return {"x": list(halves), "y": list(halves)}


@set_up("a common form: two kinds of rows through one code", _two_kinds, 20_000, 128, 30)
def two_kinds():
    inputs = [keras.Input((40,)), keras.Input((25,))]
    hidden = [layers.Dense(16, "relu")(rows) for rows in inputs]
    code = layers.Dense(8, "relu")(layers.Concatenate()(hidden))
    outputs = [layers.Dense(40, "sigmoid", name="a")(code), layers.Dense(25, name="b")(code)]
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam", {"a": "binary_crossentropy", "b": "mse"}, loss_weights={"a": 1.0, "b": 0.5}
    )
    return model


def _frame(count):
    import pandas as pd

    rows = tabular(18)(count)["x"].astype("float64")
    frame = pd.DataFrame(rows, columns=[f"column_{number}" for number in range(18)])
    frame["column_0"] = (frame["column_0"] > 0.5).astype("int64")
    return {"x": frame, "y": frame}


@set_up("a common form: a frame with whole numbers and floats", _frame, 20_000, 64, 20)
def from_frame():
    return compiled(stack(18, *dense(12, 4, 12, 18)), "adam", "mse", metrics=["mse", "mae"])
