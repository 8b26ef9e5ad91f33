"""Small Keras models, and what it means that two of them were trained alike."""

import keras
import pytest
from tolerances import EPOCH_LOSS_RTOL

FEATURES, BATCH = 36, 64


def sequential(hidden=(8,), output="sigmoid", **code):
    """Dense layers in a row; `code` are settings of the first."""
    layers = [keras.layers.Dense(hidden[0], "relu", **code)]
    layers += [keras.layers.Dense(width, "relu") for width in (*hidden[1:], *hidden[-2::-1])]
    return keras.Sequential(
        [keras.Input((FEATURES,)), *layers, keras.layers.Dense(FEATURES, output)]
    )


def compiled(build, optimizer=None, loss="mse", **settings):
    """A model with weights that follow from a seed, compiled."""
    keras.utils.set_random_seed(1)
    model = build()
    model.compile(optimizer() if optimizer else keras.optimizers.Adam(), loss, **settings)
    return model


def same_histories(history, expected):
    """Every number of every epoch."""
    assert history.epoch == expected.epoch
    assert list(history.history) == list(expected.history)
    for name, values in expected.history.items():
        assert history.history[name] == pytest.approx(values, rel=EPOCH_LOSS_RTOL), name
