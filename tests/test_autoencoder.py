"""The model: its initial weights are Keras', and codes are what the encoder alone gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import rows_with_zeros
from tolerances import RECONSTRUCTION_ATOL

from tfae.autoencoder import Autoencoder
from tfae.kernels.library import load_built
from tfae.nn.scaling import Scaling
from tfae.nn.spec import Stack


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


@pytest.mark.parametrize("kind", ["bytes", "floats", "scaled floats"])
@pytest.mark.parametrize("by_kernels", [True, False])
def test_codes_and_reconstructions_are_those_of_float64_numpy(
    native, kind, by_kernels, monkeypatch
):
    if by_kernels:
        assert load_built() is native
    else:
        monkeypatch.setattr("tfae.engines.forward.load_built", lambda: None)
    scaling = Scaling()
    if kind == "bytes":
        rows = rows_with_zeros(301, 70, 0.5, "uint8")
        inputs = rows / 255
    else:
        rows = rows_with_zeros(301, 70, 0.0, "float32")
        inputs = rows.astype(np.float64)
    if kind == "scaled floats":
        scaling = Scaling("stored", np.full(70, 0.5, np.float32), np.full(70, 0.25, np.float32))
        inputs = (inputs - 0.5) / 0.25
    model = Autoencoder(Stack.mirrored(70, (33, 9), "tanh"), scaling)
    kernels = [param.numpy().astype(np.float64) for param in model.params]
    codes = np.tanh(np.tanh(inputs @ kernels[0]) @ kernels[2])
    rebuilt = 1 / (1 + np.exp(-(np.tanh(codes @ kernels[4]) @ kernels[6])))
    if kind == "scaled floats":
        rebuilt = rebuilt * 0.25 + 0.5
    np.testing.assert_allclose(model.encode(rows), codes, rtol=0, atol=RECONSTRUCTION_ATOL)
    np.testing.assert_allclose(model.reconstruct(rows), rebuilt, rtol=0, atol=RECONSTRUCTION_ATOL)


def test_no_rows_and_gradients_are_taken_as_tensorflow_takes_them(native):
    model = Autoencoder(Stack.mirrored(12, (5,), "tanh"))
    assert model.encode(np.zeros((0, 12), np.uint8)).shape == (0, 5)
    codes = np.arange(10, dtype=np.uint8).reshape(2, 5)
    np.testing.assert_array_equal(model.decode(codes), model.decode(codes.astype(np.float32)))

    rows = tf.constant(rows_with_zeros(9, 12, 0.0, "float32"))

    def gradients(reconstruct):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            loss = tf.reduce_sum(tf.square(reconstruct(rows)))
        return tape.gradient(loss, [rows, *model.params])

    # A function that is traced runs TensorFlow's own layers.
    pairs = zip(
        gradients(model.reconstruct), gradients(tf.function(model.reconstruct)), strict=True
    )
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
