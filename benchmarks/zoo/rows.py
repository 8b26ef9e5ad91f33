"""Rows to train on: images, and synthetic tables of the width and kind that was published.

A maker takes a row count and a function that gives images [N, 784] uint8, and returns float32 rows.
"""

import math

import numpy as np

from benchmarks.harness import resized

SEED = 0


def rebuilt(make, *, validation=0.0, corrupt=None):
    """The arguments of `fit` by which rows are to be rebuilt.

    Args:
        make: A maker of rows.
        validation: So many rows of validation for each row.
        corrupt: A function from rows and a numpy generator to what is trained on in their place.
    """

    def data(count, images):
        rows = make(count + math.ceil(count * validation), images)
        inputs = rows if corrupt is None else corrupt(rows, np.random.default_rng(SEED))
        targets = rows[:count]
        given = {"x": targets if corrupt is None else inputs[:count], "y": targets}
        if validation:
            given["validation_data"] = inputs[count:], rows[count:]
        return given

    return data


def pixels(features=784, *, shape=None, dtype=np.float32, shift=0.0):
    """Images from 0 to 1: of so many pixels, or of a shape.

    Args:
        shift: Taken from every pixel.
    """

    def make(count, images):
        rows = resized(images(), count, math.prod(shape or (features,)))
        rows = np.divide(rows, 255, dtype=dtype) - dtype(shift)
        return rows.reshape(-1, *shape) if shape else rows

    return make


def standard(features, rank=None):
    """Correlated columns, each of mean 0 and deviation 1."""

    def make(count, images):
        rows = _correlated(count, features, rank)
        return (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-6)

    return make


def unit(features, rank=None):
    """Correlated columns, each from 0 to 1."""

    def make(count, images):
        rows = _correlated(count, features, rank)
        low = rows.min(0)
        return (rows - low) / np.maximum(rows.max(0) - low, 1e-6)

    return make


def one_hot(*widths, numbers=0):
    """Columns from 0 to 1, then a category of each width as ones and zeros."""

    def make(count, images):
        parts = [unit(numbers)(count, images)] if numbers else []
        scores = _correlated(count, sum(widths))
        for part in np.split(scores, np.cumsum(widths)[:-1], axis=1):
            parts.append(np.eye(part.shape[1], dtype=np.float32)[part.argmax(1)])
        return np.concatenate(parts, axis=1)

    return make


def counts(features, mean=1.0):
    """Whole numbers from 0, most of them small, of correlated rates."""

    def make(count, images):
        rates = mean * np.exp(standard(features)(count, images) - 0.5)
        return np.random.default_rng(SEED).poisson(rates).astype(np.float32)

    return make


def log_counts(features, mean=1.0):
    """log(1 + counts)."""
    return lambda count, images: np.log1p(counts(features, mean)(count, images))


def ratings(features, known=0.04, binary=False):
    """Ratings from 1 to 5, or ones, of a share of the columns; 0 is no rating."""

    def make(count, images):
        liked = standard(features)(count, images)
        stars = 1 if binary else np.clip(np.round(3.5 + liked), 1, 5)
        seen = np.random.default_rng(SEED).random(liked.shape, np.float32) < known
        return np.where(seen, stars, 0).astype(np.float32)

    return make


def waves(features, periods=3):
    """Windows from 0 to 1 of a noisy signal that repeats itself."""

    def make(count, images):
        rng = np.random.default_rng(SEED)
        time = np.linspace(0, 2 * np.pi * periods, features, dtype=np.float32)
        phase, height = rng.random((2, count, 1), np.float32)
        rows = height * np.sin(time + 6 * phase) + 0.3 * np.sin(3 * time + phase)
        rows += 0.05 * rng.standard_normal(rows.shape, np.float32)
        return (rows - rows.min()) / (rows.max() - rows.min())

    return make


def noisy(deviation):
    """Corrupts by normal noise, cut to 0..1."""
    return lambda rows, rng: np.clip(
        rows + np.float32(deviation) * rng.standard_normal(rows.shape, np.float32), 0, 1
    )


def swapped(share):
    """Corrupts by values of the same column in another row."""

    def corrupt(rows, rng):
        others = rng.integers(0, len(rows), rows.shape)
        swap = rng.random(rows.shape, np.float32) < share
        return np.where(swap, np.take_along_axis(rows, others, 0), rows)

    return corrupt


def _correlated(count, features, rank=None):
    """Normal columns of a few common factors, and noise of each [N, D]."""
    rng = np.random.default_rng(SEED)
    rank = rank or max(1, min(features // 3, 20))
    loadings = rng.standard_normal((rank, features), np.float32) / np.float32(rank**0.5)
    rows = rng.standard_normal((count, rank), np.float32) @ loadings
    rows += 0.3 * rng.standard_normal(rows.shape, np.float32)
    return rows
