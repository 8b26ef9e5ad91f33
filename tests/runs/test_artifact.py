"""A model on disk and back, and in plain Keras, which knows nothing of tfae."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tolerances import RECONSTRUCTION_ATOL

import tfae
from tfae.autoencoder import Autoencoder
from tfae.errors import DataError
from tfae.nn.scaling import Scaling
from tfae.nn.spec import ACTIVATIONS, Stack
from tfae.runs import artifact

PLAIN_KERAS = """
import sys, json, numpy, keras
model = keras.models.load_model(sys.argv[1])
rows = numpy.load(sys.argv[2])
numpy.save(sys.argv[3], model.predict(rows, verbose=0))
code = keras.Model(model.inputs, model.get_layer("code").output)
print(json.dumps([code.output.shape[1], "tfae" in sys.modules]))
"""


def test_plain_keras_gives_the_same_reconstructions(tmp_path):
    model = Autoencoder(Stack.mirrored(784, (64, 32)), seed=3)
    rows = np.random.default_rng(0).integers(0, 256, (50, 784)).astype(np.uint8)
    artifact.save(model, tmp_path / "model.keras")
    np.save(tmp_path / "rows.npy", rows / np.float32(255))
    script = [sys.executable, "-c", PLAIN_KERAS]
    paths = [str(tmp_path / name) for name in ("model.keras", "rows.npy", "rebuilt.npy")]
    out = subprocess.run([*script, *paths], capture_output=True, text=True, check=True).stdout
    assert json.loads(out.splitlines()[-1]) == [32, False]
    np.testing.assert_allclose(
        np.load(tmp_path / "rebuilt.npy"),
        model.reconstruct(tf.constant(rows)),
        rtol=0,
        atol=RECONSTRUCTION_ATOL,
    )


@pytest.mark.parametrize("kind", ["none", "standard", "minmax"])
def test_a_table_goes_in_and_comes_out_in_its_own_units(kind, table, tmp_path):
    import keras

    table = np.concatenate([table, table[:, :2] * 1e-9, table[:, :2] * 1e12], axis=1)
    scaling = Scaling.fit(kind, [table])
    model = Autoencoder(Stack.mirrored(16, (5,), "tanh", "linear"), scaling, seed=1)
    artifact.save(model, tmp_path / "model.keras")
    ours = model.reconstruct(tf.constant(table)).numpy()
    assert kind == "none" or scaling.width.min() < 1e-9
    loaded = tfae.load(tmp_path / "model.keras")
    theirs = keras.models.load_model(tmp_path / "model.keras").predict(table, verbose=0)
    # In units of each column's spread: the columns' units differ by 1e5.
    spread = table.std(axis=0)
    np.testing.assert_allclose(theirs / spread, ours / spread, rtol=1e-5, atol=1e-5)
    again = loaded.reconstruct(tf.constant(table)).numpy()
    np.testing.assert_allclose(again / spread, ours / spread, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_load_gives_the_same_model_back(activation, tmp_path):
    stack = Stack.mirrored(10, (7, 7, 3), activation)
    model = Autoencoder(stack, seed=2)
    artifact.save(model, tmp_path / "model.keras")
    loaded = tfae.load(tmp_path)
    assert loaded.stack == stack
    for ours, theirs in zip(model.params, loaded.params, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bytes_and_floats_from_0_to_1_are_the_same_rows():
    model = Autoencoder(Stack.mirrored(36, (4,)))
    rows = np.random.default_rng(0).integers(0, 256, (9, 36)).astype(np.uint8)
    from_bytes = model.encode(tf.constant(rows))
    from_floats = model.encode(tf.constant(rows / np.float32(255)))
    np.testing.assert_allclose(from_bytes, from_floats, rtol=0, atol=RECONSTRUCTION_ATOL)


def test_what_is_no_model_is_refused(tmp_path):
    import keras

    with pytest.raises(DataError, match="does not exist"):
        tfae.load(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(DataError, match="no model that tfae wrote"):
        tfae.load(tmp_path / "text.keras")
    convolution = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    convolution.save(tmp_path / "conv.keras")
    with pytest.raises(DataError, match="Conv2D"):
        tfae.load(tmp_path / "conv.keras")
