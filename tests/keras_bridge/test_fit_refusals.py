"""What `tfae.fit` leaves to Keras' own step, and what it refuses."""

import re

import keras
import numpy as np
import pytest
from keras_twins import BATCH, FEATURES, compiled, images, sequential
from tolerances import EPOCH_LOSS_RTOL, RECONSTRUCTION_ATOL

import tfae
from tfae.keras_bridge.compiled import runner_for
from tfae.keras_bridge.rows import Data
from tfae.keras_bridge.steps import StepRunner


def with_code(layer):
    """A stack whose code is what the layer makes of it."""
    return lambda: keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(8),
            layer(),
            keras.layers.Dense(FEATURES, "sigmoid"),
        ]
    )


def tanh(x):
    """One of somebody's own that has the name of Keras'."""
    return 1.7159 * keras.ops.tanh(x * 2 / 3)


def two_headed():
    """Whose encoder gives two codes, of which the second is rebuilt from."""
    rows, again = keras.Input((FEATURES,)), keras.Input((FEATURES,))
    codes = keras.layers.Dense(8)(rows)
    encoder = keras.Model(rows, [codes, keras.layers.ReLU()(codes)])
    return keras.Model(again, keras.layers.Dense(FEATURES, "sigmoid")(encoder(again)[1]))


def channels_first():
    """That flattens images in an order of its own."""
    return keras.Sequential(
        [
            keras.Input((6, 6)),
            keras.layers.Flatten(data_format="channels_first"),
            *sequential().layers,
            keras.layers.Reshape((6, 6)),
        ]
    )


def rounded_but_last():
    """In bfloat16 but for the last layer, its product included."""
    hidden = keras.layers.Dense(8, "relu", dtype="mixed_bfloat16")
    last = keras.layers.Dense(FEATURES, "sigmoid", dtype="float32")
    return keras.Sequential([keras.Input((FEATURES,)), hidden, last])


def constrained():
    """With a constraint that no layer tells of."""
    model = sequential()
    model.layers[0].kernel.constraint = keras.constraints.NonNeg()
    return model


def whole():
    """Whose input is cast to whole numbers."""
    rows = keras.Input((FEATURES,), dtype="int32")
    return keras.Sequential([rows, *sequential().layers])


def lora():
    """Whose kernel has a low-rank addition."""
    model = sequential()
    model.layers[0].enable_lora(2)
    return model


def undecayed():
    """AdamW that leaves biases as they are."""
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def adam(**settings):
    """Makes an Adam with a setting."""
    return {"optimizer": lambda: keras.optimizers.Adam(**settings)}


L1 = keras.regularizers.L1(0.1)
LEFT_TO_KERAS = {
    "a setting of the loss": (
        {"loss": keras.losses.Huber(delta=0.1)},
        r"the loss is Huber with delta=0\.1",
    ),
    "a type of the loss": (
        {"loss": keras.losses.MeanSquaredError(dtype="float16")},
        "with dtype='float16'",
    ),
    "AMSGrad": (adam(amsgrad=True), "the optimizer is Adam with amsgrad=True"),
    "clipped gradients": (adam(clipnorm=0.1), "clipnorm"),
    "clipped values": (adam(clipvalue=0.1), "clipvalue"),
    "a scaled loss": (adam(loss_scale_factor=2.0), "loss_scale_factor"),
    "added gradients": (adam(gradient_accumulation_steps=2), "gradient_accumulation_steps"),
    "averages": (adam(use_ema=True), "averages"),
    "weights without decay": ({"optimizer": undecayed}, "some weights do not decay"),
    "whole numbers": ({"build": whole}, "is int32"),
    "a low-rank addition": ({"build": lora}, "is not one product"),
    "a bounded relu": (
        {"build": with_code(lambda: keras.layers.ReLU(max_value=0.1))},
        "none of tfae's",
    ),
    "a weight of the loss": ({"loss_weights": 0.25}, "its loss has a weight"),
    "a regularizer": (
        {"build": with_code(lambda: keras.layers.ReLU(activity_regularizer=L1))},
        "activity_regularizer",
    ),
    "an activation": ({"build": with_code(lambda: keras.layers.Activation(tanh))}, "none of tfae"),
    "a policy": ({"build": with_code(lambda: keras.layers.ReLU(dtype="float16"))}, "policies"),
    "a last product in float32": ({"build": rounded_but_last}, "policies"),
    "a chosen cross-entropy": ({"loss": "crossentropy"}, "that Keras chooses"),
    "a constraint of a variable": ({"build": constrained}, "constraint"),
    "a hidden sigmoid": (
        {"build": images, "loss": "binary_crossentropy"},
        "layer 'reshape.*' hides the sigmoid.*flatten the rows instead",
    ),
    "two heads": ({"build": two_headed}, "several inputs or outputs"),
    "an order of pixels": ({"build": channels_first}, "channels first"),
    "any shape": (
        {
            "build": lambda: keras.Sequential(
                [keras.Input((None, FEATURES)), keras.layers.Dense(8), keras.layers.Dense(FEATURES)]
            )
        },
        "any shape",
    ),
}


@pytest.mark.parametrize("name", LEFT_TO_KERAS)
def test_what_the_engines_do_not_compute_is_left_to_keras(name, rows):
    settings, reason = LEFT_TO_KERAS[name]
    model = compiled(**{"build": sequential, **settings})
    x = rows.reshape([-1, *(n or 1 for n in model.input_shape[1:])])
    runner = runner_for(model, Data.of(x), BATCH)
    assert isinstance(runner, StepRunner)
    assert re.search(reason, runner.reason)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        tfae.predict(model, x, verbose=0), expected, atol=RECONSTRUCTION_ATOL
    )


def test_an_engine_must_have_keras_loss(native, rows, monkeypatch):
    """What no condition caught, the loss of some rows would."""
    monkeypatch.setattr("tfae.keras_bridge.own_engine._loss_name", lambda loss, causes: "mae")
    runner = runner_for(compiled(sequential), Data.of(rows), BATCH)
    assert isinstance(runner, StepRunner)
    assert "where Keras' is" in runner.reason


def test_an_optimizer_of_another_model_is_refused(native, rows):
    first = compiled(sequential)
    tfae.fit(first, rows, verbose=0)
    second = sequential()
    second.compile(first.optimizer, "mse")
    with pytest.raises(ValueError, match=r"built for other weights.*a new one"):
        tfae.fit(second, rows, verbose=0)
    expected = second.evaluate(rows, rows, verbose=0)
    assert tfae.evaluate(second, rows, verbose=0) == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.array(["a", "b"])}, "x must be an array of numbers"),
        ({"x": np.zeros((0, FEATURES))}, "x has no rows"),
        ({"y": np.zeros((5, FEATURES))}, "x has 600 rows and y 5"),
        ({"y": np.zeros((600, 3))}, r"y has the shape \(600, 3\), and the model gives \(600, 36\)"),
        ({"sample_weight": np.ones(5)}, "x has 600 rows and sample_weight 5"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"validation_split": 1.5}, "validation_split=1.5"),
        ({"validation_data": (1, 2, 3, 4)}, "validation_data must be"),
        ({"validation_data": np.zeros((0, FEATURES))}, "validation_data: x has no rows"),
        (
            {"validation_data": np.zeros((5, 3))},
            r"shape \(5, 3\), and the model takes \(None, 36\)",
        ),
        ({"validation_data": np.zeros((5, 6, 6))}, r"x.reshape\(-1, 36\) has it"),
        ({"x": np.zeros((5, 6, 6))}, r"shape \(5, 6, 6\), .* x.reshape\(-1, 36\) has it"),
        ({"x": np.zeros(36)}, r"shape \(36,\), and the model takes \(None, 36\): give rows"),
        ({"x": np.array([["a", 1]], object)}, "got ndarray of object"),
        ({"validation_freq": 0}, "validation_freq must be a whole number, at least 1; got 0"),
        ({"shuffle": "batch"}, "shuffle must be True or False, got 'batch'"),
        ({"seed": -1}, "seed must be a whole number, at least 0; got -1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"x": [np.zeros((4, 36)), np.zeros((4, 36))]}, "x must be one array, got a list of sev"),
        ({"engine": "warp"}, "engine must be one of auto, xla, fused; got 'warp'"),
        ({"precision": "half"}, "precision must be one of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, rows):
    with pytest.raises(ValueError, match=message):
        tfae.fit(compiled(sequential), **{"x": rows, "verbose": 0, **arguments})


def test_what_tensorflow_cannot_trace_is_refused(rows):
    """Keras cannot either."""

    def numpy_metric(targets, outputs):
        return np.mean(np.asarray(targets - outputs))

    with pytest.raises(ValueError, match="one call: a layer, loss, metric or schedule"):
        tfae.fit(compiled(sequential, metrics=[numpy_metric]), rows, verbose=0)


def test_a_model_that_is_not_compiled_is_refused(rows):
    with pytest.raises(ValueError, match=r"call model\.compile\("):
        tfae.fit(sequential(), rows)
    with pytest.raises(ValueError, match="got a list"):
        tfae.fit([], rows)
