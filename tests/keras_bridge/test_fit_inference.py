"""`tfae.evaluate`, `tfae.predict` and `Autoencoder.from_keras` against Keras itself."""

import numpy as np
import pytest
from keras_twins import compiled, convolutions, functional, images, nested, normalised, sequential
from tolerances import EPOCH_LOSS_RTOL, RECONSTRUCTION_ATOL

import tfae
from tfae.keras_bridge.inference import _native_stack


@pytest.mark.parametrize("settings", [{}, {"metrics": ["mae", "mse"]}])
def test_evaluate_is_keras_own(native, settings, rows):
    model = compiled(sequential, loss="binary_crossentropy", **settings)
    expected = model.evaluate(rows, rows, verbose=0, return_dict=True)
    measured = tfae.evaluate(model, rows, verbose=0, return_dict=True)
    assert measured == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)
    values = tfae.evaluate(model, rows, verbose=0)
    assert values == pytest.approx(model.evaluate(rows, rows, verbose=0), rel=EPOCH_LOSS_RTOL)


def test_targets_and_weights_are_evaluated_as_by_keras(native, rows):
    rng = np.random.default_rng(0)
    noisy = np.clip(rows + rng.normal(0, 0.1, rows.shape), 0, 1).astype(np.float32)
    # Of one name, which a dictionary has once and a list twice.
    model = compiled(sequential, metrics=["mse", "mae"], weighted_metrics=["mse"])
    for targets in ({"y": rows}, {"y": rows, "sample_weight": rng.random(600)}):
        expected = model.evaluate(noisy, **targets, verbose=0)
        measured = tfae.evaluate(model, noisy, **targets, verbose=0)
        assert measured == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)


def test_evaluation_leaves_the_optimizer_to_training(native, rows):
    model = compiled(sequential)
    loss = tfae.evaluate(model, rows, verbose=0)
    assert not model.optimizer.built
    assert loss == pytest.approx(model.evaluate(rows, rows, verbose=0), rel=EPOCH_LOSS_RTOL)
    assert tfae.fit(model, rows, verbose=0).params["engine"] == "fused"


def test_a_predict_step_of_its_own_is_followed(native, rows):
    model = sequential()
    model.predict_step = lambda data: 0 * model(data)
    assert not tfae.predict(model, rows, verbose=0).any()


@pytest.mark.parametrize("build", [sequential, nested, images, normalised])
def test_predict_is_keras_own(native, build, rows):
    model = build()
    x = rows.reshape(-1, *model.input_shape[1:])
    outputs = tfae.predict(model, x, verbose=0)
    assert outputs.shape == (600, *model.output_shape[1:])
    np.testing.assert_allclose(
        outputs, model.predict(x, verbose=0), rtol=0, atol=RECONSTRUCTION_ATOL
    )


def test_parts_of_a_model_predict_too(native, rows):
    model = nested()
    encoder, decoder = model.layers[1:]
    codes = tfae.predict(encoder, rows, verbose=0)
    assert _native_stack(encoder, rows)
    assert _native_stack(decoder, codes)
    np.testing.assert_allclose(codes, encoder.predict(rows, verbose=0), atol=RECONSTRUCTION_ATOL)
    np.testing.assert_allclose(
        tfae.predict(decoder, codes, verbose=0),
        model.predict(rows, verbose=0),
        rtol=0,
        atol=RECONSTRUCTION_ATOL,
    )


@pytest.mark.parametrize("build", [sequential, functional, nested, images])
def test_an_autoencoder_from_keras_and_back(build, rows):
    model = build()
    ours = tfae.Autoencoder.from_keras(model)
    assert str(ours.stack) == "36-8-36"
    expected = model.predict(rows.reshape(-1, *model.input_shape[1:]), verbose=0).reshape(600, -1)
    for outputs in (ours.reconstruct(rows), ours.to_keras().predict(rows, verbose=0)):
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=RECONSTRUCTION_ATOL)
    with pytest.raises(ValueError, match="layer 'seen' is a Conv2D"):
        tfae.Autoencoder.from_keras(convolutions())
