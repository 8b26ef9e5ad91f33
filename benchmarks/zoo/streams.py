"""Set-ups whose rows come in batches: Datasets, generators, PyDatasets."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import pixels, standard, unit
from benchmarks.zoo.set_up import set_up


def _batched(count, images):
    rows = unit(32)(count, images)
    return {"x": tf.data.Dataset.from_tensor_slices((rows, rows)).batch(64).prefetch(2)}


@set_up(
    "a common form of tf.data pipelines: pairs, batched and prefetched",
    _batched,
    rows=20_000,
    batch_size=64,
    epochs=20,
    streamed=True,
)
def dataset_batched():
    """32-16-4-16-32."""
    model = sequential(32, dense(16, 4, 16, 32))
    model.compile("adam", "mse")
    return model


def _noised(count, images):
    rows = pixels(784)(count, images)

    def corrupt(row):
        noise = tf.random.normal(tf.shape(row), stddev=0.2)
        return tf.clip_by_value(row + noise, 0.0, 1.0), row

    def make():
        dataset = tf.data.Dataset.from_tensor_slices(rows).shuffle(1024).batch(128)
        return dataset.map(corrupt, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return {"x": make}


@set_up(
    "a common form of tf.data pipelines: noise by map, shuffled",
    _noised,
    rows=60_000,
    batch_size=128,
    epochs=10,
    drawn=True,
    streamed=True,
)
def dataset_noise():
    """784-128-784 of images that are noisy anew every epoch."""
    model = sequential(784, dense(128, 784, last="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    return model


def _endless(count, images):
    rows, steps = standard(40)(count, images), max(count // 100, 1)

    def make():
        while True:
            for part in np.array_split(rows, steps):
                yield part, part

    return {"x": make, "steps_per_epoch": steps}


@set_up(
    "a common form of rows too many for memory: a generator and steps_per_epoch",
    _endless,
    rows=50_000,
    batch_size=100,
    epochs=20,
    streamed=True,
)
def generator_batches():
    """40-20-5-20-40."""
    model = sequential(40, dense(20, 5, 20, 40, hidden="tanh"))
    model.compile("adam", "mse")
    return model


class SwapNoise(keras.utils.PyDataset):
    """Batches in which a share of the values is of other rows."""

    def __init__(self, rows, batch_size, share):
        super().__init__()
        self.rows, self.batch_size, self.share = rows, batch_size, share
        self.random = np.random.default_rng(0)

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, number):
        """A batch (swapped, rows)."""
        rows = self.rows[number * self.batch_size :][: self.batch_size]
        others = self.rows[self.random.integers(0, len(self.rows), len(rows))]
        return np.where(self.random.random(rows.shape) < self.share, others, rows), rows


def _swapped(count, images):
    rows = standard(46)(count, images)
    return {"x": lambda: SwapNoise(rows, 1024, 0.15)}


@set_up(
    "a public notebook: swap noise by a keras Sequence (its numeric columns only)",
    _swapped,
    rows=20_000,
    batch_size=1024,
    epochs=50,
    drawn=True,
    streamed=True,
)
def swap_noise():
    """46-1000-500-128-500-1000-46."""
    model = sequential(46, dense(1000, 500, 128, 500, 1000, 46))
    model.compile("adam", "mse")
    return model
