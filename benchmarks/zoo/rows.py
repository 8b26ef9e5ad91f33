"""Rows of the width and the kind of those that a set-up was published with."""

import functools

import numpy as np
import tensorflow as tf

from benchmarks import harness
from tfae.data.sources import load

_images = {}  # what is loaded: {"train": bytes [N, D]}


def use_images(options):
    """Have the images be those that a benchmark's options name."""
    _images["train"] = load(options.dataset, options.data_dir).train


def images(features=784, shape=None, noise=0.0):
    """A function of so many images to themselves, of 0 to 1, or from noisy ones to them."""

    def rows(count):
        bytes_ = harness.resized(_images["train"], count, features)
        clean = (bytes_ / np.float32(255)).astype(np.float32)
        clean = clean.reshape(count, *(shape or (features,)))
        if not noise:
            return {"x": clean, "y": clean}
        drawn = noise * np.random.default_rng(1).normal(size=clean.shape)
        return {"x": np.clip(clean + drawn, 0, 1).astype(np.float32), "y": clean}

    return rows


def tabular(columns, kind="scaled", rank=6, **also):
    """A function of so many rows of a table to themselves.

    Args:
        columns: D.
        kind: "scaled" to 0 to 1, "standardized", or "signed", from -1 to 1.
        rank: How many numbers the columns follow from, but for some noise.
        also: Functions from the rows to what else `fit` is given.
    """

    def rows(count):
        rng = np.random.default_rng(0)
        table = rng.normal(size=(count, rank)) @ rng.normal(size=(rank, columns))
        table += 0.3 * rng.normal(size=table.shape)
        if kind == "standardized":
            table = (table - table.mean(0)) / table.std(0)
        else:
            table = (table - table.min(0)) / (np.ptp(table, 0) + 1e-9)
            table = 2 * table - 1 if kind == "signed" else table
        table = table.astype(np.float32)
        return {"x": table, "y": table} | {name: make(table) for name, make in also.items()}

    return rows


def one_hot(columns, categories=8):
    """A function of so many rows of ones and zeros, of columns of some categories each."""

    def rows(count):
        rng = np.random.default_rng(0)
        table = np.zeros((count, columns), np.float32)
        for first in range(0, columns, categories):
            width = min(categories, columns - first)
            table[np.arange(count), first + rng.integers(0, width, count)] = 1
        return {"x": table, "y": table}

    return rows


def counts(columns, scaled=False):
    """A function of so many rows of counts, most of which are small."""

    def rows(count):
        rng = np.random.default_rng(0)
        rates = np.exp(rng.normal(size=(count, 3)) @ rng.normal(size=(3, columns)) * 0.4 - 0.5)
        table = rng.poisson(rates).astype(np.float32)
        return {
            "x": np.log1p(table) if scaled else table,
            "y": np.log1p(table) if scaled else table,
        }

    return rows


def ratings(items, known=0.05):
    """A function of so many users' stars of items, 0 where there are none."""

    def rows(count):
        rng = np.random.default_rng(0)
        stars = rng.integers(1, 6, (count, items)) * (rng.random((count, items)) < known)
        stars = stars.astype(np.float32)
        return {"x": stars, "y": stars}

    return rows


def windows(steps, channels=1):
    """A function of so many windows of a signal to themselves, [N, steps x channels]."""

    def rows(count):
        rng = np.random.default_rng(0)
        phase = rng.uniform(0, 6.28, (count, 1, channels))
        time = np.linspace(0, 12, steps).reshape(1, steps, 1)
        signal = 0.5 + 0.3 * np.sin(time + phase) + 0.05 * rng.normal(size=(count, steps, channels))
        signal = signal.reshape(count, steps * channels).astype(np.float32)
        return {"x": signal, "y": signal}

    return rows


def denoised(data, deviation):
    """The rows of a function, with noise in what goes in."""

    def rows(count):
        clean = data(count)["x"]
        noise = deviation * np.random.default_rng(1).normal(size=clean.shape)
        return {"x": (clean + noise).astype(np.float32), "y": clean}

    return rows


def weighted(data):
    """The rows of a function, each with a weight."""

    def rows(count):
        weights = np.random.default_rng(2).uniform(0.5, 2, count).astype(np.float32)
        return data(count) | {"sample_weight": weights}

    return rows


def batches(data, batch_size, **also):
    """The rows of a function as a Dataset of batches."""

    def rows(count):
        x = data(count)["x"]
        dataset = tf.data.Dataset.from_tensor_slices((x, x)).batch(batch_size).prefetch(2)
        return {"x": dataset, "shuffle": False} | also

    return rows


def generated(data, batch_size):
    """The rows of a function by a generator without an end."""

    def rows(count):
        x = data(count)["x"]

        def forever():
            while True:
                for first in range(0, count - batch_size + 1, batch_size):
                    part = x[first : first + batch_size]
                    yield part, part

        return lambda: {"x": forever(), "steps_per_epoch": count // batch_size, "shuffle": False}

    return rows


small = functools.partial(tabular, 24)
