"""The losses where float32 is at its limits; that they are Keras' is the engine's parity tests'."""

import numpy as np
import pytest
import tensorflow as tf
from tolerances import EPS

from tfae.errors import ConfigError
from tfae.nn.losses import LOSSES, binary_crossentropy


def test_cross_entropy_is_that_of_float64_for_logits_of_any_size():
    logits = np.concatenate([-np.logspace(-8, 2, 500), [0.0], np.logspace(-8, 2, 500)])
    for target in map(np.float32, (0.0, 0.3, 1.0)):
        z = logits.astype(np.float32)[:, None]
        ours = binary_crossentropy(tf.fill(z.shape, target), tf.constant(z)).numpy()
        wide = z[:, 0].astype(np.float64)
        exact = np.maximum(wide, 0) - wide * target + np.log1p(np.exp(-np.abs(wide)))
        # Each of the three terms is rounded by itself; what is below twice float32's smallest
        # normal number, 1.2e-38, is taken for zero.
        size = np.abs(wide) * target + np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
        assert (np.abs(ours - exact) <= 4 * EPS * size + 2.4e-38).all()


def test_cross_entropys_gradient_is_that_of_float64():
    z = np.linspace(-100, 100, 2001).astype(np.float32)[:, None]
    targets, logits = tf.fill(z.shape, np.float32(0.3)), tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_crossentropy(targets, logits)
    exact = 1 / (1 + np.exp(-z.astype(np.float64))) - np.float32(0.3)
    np.testing.assert_allclose(tape.gradient(loss, logits), exact, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_not_finite_stays_so(name):
    for value in (np.nan, np.inf):
        loss = LOSSES[name](tf.zeros((1, 1)), tf.fill((1, 1), np.float32(value)))
        assert not np.isfinite(loss.numpy()).any()


def test_cross_entropy_of_what_are_no_logits_is_refused():
    with pytest.raises(ConfigError, match="needs a sigmoid output, got 'linear'"):
        binary_crossentropy(tf.zeros((1, 1)), tf.zeros((1, 1)), "linear")
