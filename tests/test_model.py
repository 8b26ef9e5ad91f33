"""The model: its initial weights are Keras', and codes are what the encoder alone gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfae.model import Autoencoder
from tfae.spec import Stack


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_initial_weights_are_those_of_keras_with_the_same_seed(seed):
    stack = Stack.mirrored(50, (20, 7))
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(width) for width in stack.widths[1:]]
    twin = keras.Sequential([keras.Input((50,)), *layers])
    for ours, theirs in zip(Autoencoder(stack, seed=seed).params, twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_initial_bias_is_of_the_hidden_layers():
    model = Autoencoder(Stack.mirrored(12, (5,)), initial_bias=0.5)
    np.testing.assert_array_equal(model.params[1], np.full(5, 0.5, np.float32))
    np.testing.assert_array_equal(model.params[3], np.zeros(12, np.float32))


def test_images_are_flattened_and_other_widths_refused():
    model = Autoencoder(Stack.mirrored(12, (5,)))
    rows = np.arange(24, dtype=np.uint8).reshape(2, 12)
    np.testing.assert_array_equal(model.encode(rows.reshape(2, 3, 4)), model.encode(rows))
    for wrong in (rows[:, :7], rows[0]):
        with pytest.raises(ValueError, match=r"rows must have the shape \[N, 12\], got"):
            model.encode(wrong)
    with pytest.raises(ValueError, match=r"codes must have the shape \[N, 5\], got"):
        model.decode(np.zeros((2, 12), np.float32))


def test_decoding_the_codes_is_reconstructing():
    model = Autoencoder(Stack.mirrored(50, (20, 7)))
    rows = tf.constant(np.random.default_rng(0).random((9, 50)).astype(np.float32))
    codes = model.encode(rows)
    assert codes.shape == (9, 7)
    np.testing.assert_array_equal(model.decode(codes), model.reconstruct(rows))
