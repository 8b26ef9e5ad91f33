"""Scaling of tables, against scikit-learn, and the refusals."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from tolerances import EPS

from tfae.errors import ConfigError
from tfae.nn.scaling import Scaling, fit_scaling
from tfae.nn.spec import Stack


def stack(output):
    """A stack of 12 features with that output activation."""
    return Stack.mirrored(12, (3,), output_activation=output)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())]
)
def test_scaling_is_that_of_scikit_learn(kind, theirs, table):
    ours = Scaling.fit(kind, np.array_split(table, 7))
    expected = theirs.fit_transform(table.astype(np.float64))
    # A column far from zero for its width loses digits when its center is rounded to float32.
    atol = 4 * EPS * (np.abs(ours.center) + ours.width) / ours.width
    assert (np.abs(ours.apply(table) - expected) <= atol * np.maximum(np.abs(expected), 1)).all()
    back = ours.invert(ours.apply(table))
    assert (np.abs(back - table) / ours.width <= atol * np.maximum(np.abs(expected), 1)).all()


def test_a_constant_column_stays_finite():
    table = np.full((50, 2), 0.1, np.float32)
    table[:, 1] = np.arange(50)
    for kind in ("standard", "minmax"):
        scaled = Scaling.fit(kind, [table]).apply(table)
        np.testing.assert_allclose(scaled[:, 0], 0.0, atol=1e-6)
        assert np.isfinite(scaled).all()


@pytest.mark.parametrize(
    ("output", "loss", "kind"),
    [
        ("sigmoid", "binary_crossentropy", "minmax"),
        ("sigmoid", "mse", "minmax"),
        ("relu", "mse", "minmax"),
        ("linear", "mse", "standard"),
    ],
)
def test_auto_fits_the_output(output, loss, kind, table):
    assert fit_scaling("auto", table, table[:9], stack(output), loss).kind == kind


def test_auto_leaves_rows_within_0_and_1_as_they_are():
    rows = np.random.default_rng(0).random((20, 12)).astype(np.float32)
    assert fit_scaling("auto", rows, rows, stack("sigmoid"), "binary_crossentropy").kind == "none"


@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("output", ["sigmoid", "tanh", "relu"])
def test_what_the_output_cannot_give_is_refused_with_the_remedy(scale, output, table):
    with pytest.raises(ConfigError, match="--scale minmax, or --output-activation linear"):
        fit_scaling(scale, table, table, stack(output), "mse")


def test_bytes_are_not_scaled_twice():
    rows = np.zeros((5, 12), np.uint8)
    with pytest.raises(ConfigError, match="scaled by 1/255"):
        fit_scaling("standard", rows, rows, stack("linear"), "mse")
