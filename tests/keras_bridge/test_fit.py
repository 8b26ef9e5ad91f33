"""`tfae.fit` against `model.fit`: the same compiled model through both, then Keras goes on."""

import keras
import numpy as np
import pytest
from keras import optimizers
from keras.optimizers import schedules
from keras_twins import (
    BATCH,
    FEATURES,
    UNEVEN_BATCH,
    Called,
    compiled,
    convolutions,
    functional,
    go_on_with_keras,
    images,
    nested,
    noisy,
    normalised,
    own_loss,
    same_histories,
    same_weights,
    sequential,
    tied,
    train_both,
)
from tolerances import EPOCH_LOSS_RTOL, MIXED_LOSS_RTOL

import tfae

FUSED = {
    "sequential": {"build": sequential},
    "functional": {"build": functional},
    "nested": {"build": nested},
    "images": {"build": images},
    "deep": {"build": lambda: sequential((16, 8, 4), "linear")},
    "adadelta": {
        "optimizer": lambda: optimizers.Adadelta(1.0),
        "loss": keras.losses.BinaryCrossentropy(),
    },
    "adam": {"optimizer": lambda: optimizers.Adam(0.01, 0.8, 0.99, 1e-4)},
    "adamw": {"optimizer": lambda: optimizers.AdamW(weight_decay=0.01)},
    "sgd": {"optimizer": lambda: optimizers.SGD(0.1), "loss": "mae"},
    "momentum": {
        "optimizer": lambda: optimizers.SGD(0.1, 0.9, nesterov=True),
        "loss": keras.losses.Huber(),
    },
    "clipped": {"optimizer": lambda: optimizers.Adam(global_clipnorm=0.01)},
    "cosine": {
        "optimizer": lambda: optimizers.Adam(
            schedules.CosineDecay(0.0, 30, warmup_target=0.01, warmup_steps=10)
        )
    },
    "steps": {
        "optimizer": lambda: optimizers.SGD(
            schedules.PiecewiseConstantDecay([7, 20], [0.3, 0.1, 0.03])
        )
    },
    "cross-entropy": {"loss": "binary_crossentropy"},
}
KERAS = {
    "a call of its own": {
        "build": Called,
        "optimizer": lambda: optimizers.Nadam(),
        "loss": keras.losses.BinaryCrossentropy(label_smoothing=0.1),
        "metrics": ["mse", "mae", "binary_accuracy"],
    },
    "dropped and noisy": {"build": noisy, "optimizer": lambda: optimizers.Adam(0.01)},
    "tied, by a loss of one's own": {"build": tied, "loss": own_loss},
    "of convolutions": {"build": convolutions},
    "regularizers": {
        "build": lambda: sequential(
            kernel_regularizer=keras.regularizers.L2(1e-3),
            bias_regularizer=keras.regularizers.L1(1e-3),
            activity_regularizer=keras.regularizers.L1(1e-4),
        ),
        "optimizer": lambda: optimizers.Adamax(),
        "loss": "poisson",
    },
    "normalised, frozen and averaged": {
        "build": normalised,
        "optimizer": lambda: optimizers.Adagrad(use_ema=True, clipnorm=0.1),
        "loss": "log_cosh",
    },
}


def test_other_layers_and_another_compile_are_seen(native, rows):
    model = compiled(sequential)
    options = {"batch_size": BATCH, "verbose": 0}
    tfae.fit(model, rows, **options)
    model.pop()
    model.add(keras.layers.Dense(FEATURES))
    model.compile(optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    tfae.fit(model, rows, **options)
    assert all((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))
    expected = model.evaluate(rows, rows, verbose=0)
    assert tfae.evaluate(model, rows, verbose=0) == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)


def test_an_optimizers_own_order_is_followed(native, rows):
    ours, theirs = compiled(sequential), compiled(sequential)
    for model in (ours, theirs):
        model.optimizer.build(model.trainable_variables[::-1])
    options = {"batch_size": BATCH, "epochs": 3, "shuffle": False, "verbose": 0}
    same_histories(tfae.fit(ours, rows, **options), theirs.fit(rows, rows, **options))
    same_weights(ours, theirs)


def test_a_model_that_was_not_built_is_built_for_any_number_of_rows(native, rows):
    model = compiled(lambda: keras.Sequential(sequential().layers))
    tfae.fit(model, rows, verbose=0)
    assert model.input_shape == (None, FEATURES)


@pytest.mark.parametrize(
    "options",
    [
        {"initial_epoch": 2},
        {"epochs": 0},
        {"validation_freq": [1, 3]},
        {"validation_freq": 2},
        {"batch_size": None},
        {"batch_size": 1000},
    ],
    ids=str,
)
def test_epochs_are_counted_as_keras_counts_them(native, options, rows):
    ours, theirs, _ = train_both({"build": sequential}, rows, validation_split=0.1, **options)
    same_weights(ours, theirs)


@pytest.mark.parametrize("name", [*FUSED, *KERAS])
def test_histories_and_weights_are_keras_own(native, name, rows):
    settings = {"build": sequential, **(FUSED.get(name) or KERAS[name])}
    x = rows.reshape(-1, 6, 6) if name == "images" else rows
    uneven = name in FUSED or name == "a call of its own"
    batch_size = UNEVEN_BATCH if uneven else BATCH
    ours, theirs, engine = train_both(settings, x, validation_split=0.2, batch_size=batch_size)
    assert engine == ("keras" if name == "of convolutions" else "fused")
    same_weights(ours, theirs)
    go_on_with_keras(ours, theirs, x)


def test_where_there_is_no_compiler_xla_works_on_the_same_variables(rows):
    ours, theirs = (compiled(nested, lambda: optimizers.Adadelta(0.01), "mse") for _ in range(2))
    options = {"batch_size": BATCH, "epochs": 3, "shuffle": False, "verbose": 0}
    history = tfae.fit(ours, rows, engine="xla", **options)
    assert history.params["reason"] == "asked for by name"
    same_histories(history, theirs.fit(rows, rows, **options))
    same_weights(ours, theirs)
    go_on_with_keras(ours, theirs, rows)


@pytest.mark.parametrize("kind", ["noisy", "weighted", "validated", "validated otherwise"])
def test_targets_weights_and_validation_data_are_keras_own(native, kind, rows):
    rng = np.random.default_rng(0)
    noisy = np.clip(rows + rng.normal(0, 0.1, rows.shape), 0, 1)  # float64, as numpy has it
    x, y, options, metrics = rows, None, {}, {}
    if kind == "noisy":
        x, y = noisy, rows
        options = {"validation_data": (noisy[:100], rows[:100]), "validation_freq": 2}
    elif kind == "weighted":
        options = {"sample_weight": rng.random(600), "validation_split": 0.1}
        options |= {"batch_size": UNEVEN_BATCH}
        metrics = {"metrics": ["mae"], "weighted_metrics": ["mse"]}
    elif kind == "validated":
        options = {"validation_data": (rows[:100], rows[:100])}
    else:
        options = {"validation_data": (noisy[:100], rows[:100], rng.random(100))}
    settings = {"build": sequential, "loss": "binary_crossentropy", **metrics}
    ours, theirs, engine = train_both(settings, x, y, **options)
    assert engine == "fused"
    same_weights(ours, theirs)
    go_on_with_keras(ours, theirs, x, y)


def test_targets_that_equal_the_rows_are_the_rows(native, rows):
    history = tfae.fit(compiled(sequential), rows[:500], rows[:500], verbose=0)
    assert history.params["engine"] == "fused"


def test_callbacks_find_the_loss_in_the_models_metrics(native, rows):
    found = []

    class Reader(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append(self.model.get_metrics_result()["loss"])

    history = tfae.fit(compiled(sequential), rows, epochs=2, verbose=0, callbacks=[Reader()])
    assert history.params["engine"] == "fused"
    assert found == history.history["loss"]


def test_the_epochs_are_as_many_as_keras_is_set_to(native, rows):
    try:
        keras.config.set_max_epochs(1)
        with pytest.warns(UserWarning, match="Limiting epochs to 1"):
            assert tfae.fit(compiled(sequential), rows, epochs=3, verbose=0).epoch == [0]
        keras.config.set_max_epochs(None)
        keras.config.set_max_steps_per_epoch(2)
        with pytest.raises(ValueError, match="set_max_steps_per_epoch"):
            tfae.fit(compiled(sequential), rows, verbose=0, strict=True)
    finally:
        keras.config.set_max_epochs(None)
        keras.config.set_max_steps_per_epoch(None)


def test_many_models_are_no_mistake(native, rows, caplog):
    """TensorFlow warns of functions that it often traces anew."""
    for _ in range(6):
        tfae.evaluate(compiled(sequential), rows[:10], verbose=0)
        tfae.fit(compiled(sequential), rows[:10], verbose=0)
    assert "retracing" not in caplog.text


def test_seeds_decide_the_orders(native, rows):
    def losses(seed=None, **options):
        model = compiled(sequential)
        options = {"epochs": 2, "verbose": 0, "seed": seed, **options}
        return tfae.fit(model, rows, **options).history["loss"]

    assert losses() == losses()  # `compiled` sets Keras' seed, which seeds Python's random
    assert losses(1) == losses(1) != losses(2)
    assert losses(1) != losses(shuffle=False)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_dtype_policy_is_followed(native, policy, rows):
    try:
        keras.mixed_precision.set_dtype_policy(policy)
        ours, theirs = compiled(sequential), compiled(sequential)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    options = {"batch_size": BATCH, "epochs": 5, "shuffle": False, "verbose": 0}
    expected = theirs.fit(rows, rows, **options).history["loss"]
    history = tfae.fit(ours, rows, **options)
    assert history.history["loss"] == pytest.approx(expected, rel=MIXED_LOSS_RTOL)
    engine = "keras" if policy == "mixed_float16" else "fused" if native.has_bfloat16 else "xla"
    assert history.params["engine"] == engine


def test_a_precision_can_be_asked_for(rows):
    model = compiled(sequential)
    history = tfae.fit(model, rows, precision="mixed_float16", epochs=2, verbose=0)
    assert "float16" in history.params["reason"]
    assert np.isfinite(history.history["loss"]).all()
    with pytest.raises(ValueError, match="set_dtype_policy"):
        tfae.fit(compiled(sequential, metrics=["mse"]), rows, precision="mixed_bfloat16")


@pytest.mark.parametrize(
    ("metrics", "engine", "error"),
    [
        ([], "fused", KeyboardInterrupt),
        ([], "fused", RuntimeError),
        (["mse"], "fused", KeyboardInterrupt),
    ],
)
def test_what_stops_midway_leaves_the_last_whole_epoch(native, metrics, engine, error, rows):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise error

    stopped, whole = (compiled(sequential, metrics=metrics) for _ in range(2))
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    with pytest.raises(error):
        tfae.fit(stopped, rows, epochs=5, callbacks=[Stop()], **options)
    assert tfae.fit(whole, rows, epochs=2, **options).params["engine"] == engine
    for one, other in zip(stopped.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(stopped.optimizer.iterations) == 20
