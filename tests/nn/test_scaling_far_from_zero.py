"""Columns whose range is small beside their distance from zero, against scikit-learn in float64."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tfae.errors import ConfigError
from tfae.nn.scaling import Scaling, fit_scaling
from tfae.nn.spec import Stack

N = 200
COLUMNS = {
    "100 seconds of epoch time": 1_700_000_000 + np.arange(N) // 2,
    "200 seconds": 1_700_000_000 + np.arange(N),
    "ids of nine digits": 900_000_001 + np.arange(N) % 60,
    "one step of float32": np.where(np.arange(N) % 3, 1.0, np.nextafter(np.float32(1), 2)),
    "below zero": -1_700_000_000 - np.arange(N),
    "a little": 1e-20 * np.arange(N),
    "very little": 1e-36 * np.arange(N),
    "huge": 1e30 * np.arange(N),
}


def table(kind):
    column = np.float32(COLUMNS[kind])
    return np.stack([column, np.random.default_rng(0).random(N).astype(np.float32) * 9], axis=1)


def of_its_size(rows):
    """Columns up to 1: scikit-learn takes small numbers for constants."""
    return rows.astype(np.float64) / np.abs(rows).max(axis=0)


@pytest.mark.parametrize("kind", COLUMNS)
def test_minmax_brings_it_to_0_and_1(kind):
    rows = table(kind)
    stack = Stack.mirrored(2, (1,), "relu", "sigmoid")
    scaling = fit_scaling("minmax", rows, rows, stack, "binary_crossentropy")
    scaled = scaling.apply(rows)
    expected = MinMaxScaler().fit_transform(of_its_size(rows))
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-6)
    assert (scaled[:, 0].min(), scaled[:, 0].max()) == (0, 1)


@pytest.mark.parametrize("kind", COLUMNS)
def test_standard_brings_it_to_a_deviation_of_1(kind):
    rows = table(kind)
    stack = Stack.mirrored(2, (1,), "relu", "linear")
    scaled = fit_scaling("standard", rows, rows, stack, "mse").apply(rows).astype(np.float64)
    expected = StandardScaler().fit_transform(of_its_size(rows))
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    # The center is a float32, too, and so half a step of float32 off at most.
    step = np.spacing(np.abs(rows).max(axis=0)) / rows.astype(np.float64).std(axis=0)
    assert (np.abs((scaled - expected)[:, 0]) <= step[0] / 2 + 1e-5).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, 1.7e9, -3e38, 1e-40])
@pytest.mark.parametrize("kind", ["minmax", "standard"])
def test_a_column_of_one_value_is_held_at_0(kind, value):
    rows = np.full((N, 2), value, np.float32)
    rows[:, 1] = np.arange(N)
    scaled = Scaling.fit(kind, np.array_split(rows, 7)).apply(rows)
    np.testing.assert_array_equal(scaled[:, 0], 0)
    assert np.isfinite(scaled).all()


def test_a_range_that_float32_cannot_hold_is_refused_by_its_column():
    rows = table("200 seconds")
    rows[:2, 1] = -3e38, 3e38
    stack = Stack.mirrored(2, (1,), "relu", "sigmoid")
    with pytest.raises(ConfigError, match=r"--scale minmax cannot bring column 1 .*divide it by"):
        fit_scaling("minmax", rows, rows, stack, "mse")
