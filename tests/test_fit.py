"""`tfae.fit` against `model.fit`: the same compiled model through both, then Keras goes on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers
from keras.optimizers import schedules
from keras_twins import BATCH, FEATURES, compiled, same_histories, sequential
from tolerances import EPOCH_LOSS_RTOL, EPOCHS_WEIGHT_ATOL, MIXED_LOSS_RTOL, RECONSTRUCTION_ATOL

import tfae
from tfae.keras_bridge.compiled import runner_for
from tfae.keras_bridge.rows import Data
from tfae.keras_bridge.runners import KerasRunner


def functional():
    """The same by calls."""
    rows = keras.Input((FEATURES,))
    codes = keras.layers.Dense(8, "relu")(rows)
    return keras.Model(rows, keras.layers.Dense(FEATURES, "sigmoid")(codes))


def nested():
    """An encoder and a decoder, models themselves, chained."""
    rows, codes = keras.Input((FEATURES,)), keras.Input((8,))
    encoder = keras.Model(rows, keras.layers.Dense(8, "relu")(rows))
    decoder = keras.Model(codes, keras.layers.Dense(FEATURES, "sigmoid")(codes))
    return keras.Model(rows, decoder(encoder(rows)))


def images():
    """Of images [6, 6], the activations in layers of their own."""
    return keras.Sequential(
        [
            keras.Input((6, 6)),
            keras.layers.Flatten(),
            keras.layers.Dense(8),
            keras.layers.ReLU(),
            keras.layers.Dense(FEATURES),
            keras.layers.Activation("sigmoid"),
            keras.layers.Reshape((6, 6)),
        ]
    )


def normalised():
    """With layers whose variables are no weights of a Dense layer."""
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Rescaling(2.0, -1.0),
            keras.layers.Dense(8, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dense(FEATURES),
        ]
    )


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
XLA = {
    "rmsprop": {
        "optimizer": lambda: optimizers.RMSprop(),
        "loss": keras.losses.BinaryCrossentropy(label_smoothing=0.1),
    },
    "averaged": {
        "optimizer": lambda: optimizers.Adam(amsgrad=True, use_ema=True, clipnorm=0.1),
        "loss": "log_cosh",
    },
    "logits": {
        "build": lambda: sequential(output="linear"),
        "loss": keras.losses.BinaryCrossentropy(from_logits=True),
        "metrics": ["mse", "mae", "binary_accuracy"],
    },
    "regularizers": {
        "build": lambda: sequential(
            kernel_regularizer=keras.regularizers.L2(1e-3),
            bias_regularizer=keras.regularizers.L1(1e-3),
            activity_regularizer=keras.regularizers.L1(1e-4),
        )
    },
    "normalised": {"build": normalised},
    "frozen": {"build": lambda: sequential((16, 8), trainable=False)},
}


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


L1 = keras.regularizers.L1(0.1)
LEFT_TO_KERAS = {
    "a setting of the loss": ({"loss": keras.losses.Huber(delta=0.1)}, "the loss, or a setting"),
    "a type of the loss": ({"loss": keras.losses.MeanSquaredError(dtype="float16")}, "the loss"),
    "a weight of the loss": ({"loss_weights": 0.25}, "its loss has a weight"),
    "a regularizer": (
        {"build": with_code(lambda: keras.layers.ReLU(activity_regularizer=L1))},
        "activity_regularizer",
    ),
    "an activation": ({"build": with_code(lambda: keras.layers.Activation(tanh))}, "none of tfae"),
    "a policy": ({"build": with_code(lambda: keras.layers.ReLU(dtype="float16"))}, "policies"),
    "a hidden sigmoid": (
        {"build": images, "loss": "binary_crossentropy"},
        "a sigmoid in float32 that comes last",
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
    assert isinstance(runner, KerasRunner)
    assert reason in runner.reason
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        tfae.predict(model, x, verbose=0), expected, atol=RECONSTRUCTION_ATOL
    )


def test_an_engine_must_have_keras_loss(native, rows, monkeypatch):
    """What no condition caught, the loss of some rows would."""
    monkeypatch.setattr("tfae.keras_bridge.compiled._loss_name", lambda loss: "mae")
    runner = runner_for(compiled(sequential), Data.of(rows), BATCH)
    assert isinstance(runner, KerasRunner)
    assert "where Keras' is" in runner.reason


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


def test_an_optimizer_of_another_model_is_refused_as_by_keras(native, rows):
    first = compiled(sequential)
    tfae.fit(first, rows, verbose=0)
    second = sequential()
    second.compile(first.optimizer, "mse")
    with pytest.raises(ValueError, match=r"Unknown variable|recreate a new optimizer"):
        tfae.fit(second, rows, verbose=0)


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


def train_both(settings, x, y=None, **options):
    """The same model through Keras and through tfae: their histories are held to be equal."""
    ours, theirs = compiled(**settings), compiled(**settings)
    options = {"batch_size": BATCH, "epochs": 3, "shuffle": False, "verbose": 0, **options}
    expected = theirs.fit(x, x if y is None else y, **options)
    history = tfae.fit(ours, x, y, **options)
    same_histories(history, expected)
    return ours, theirs, history.params["engine"]


def same_weights(ours, theirs):
    """Weights, and what the optimizer keeps of every step."""
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=EPOCHS_WEIGHT_ATOL)
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)


def go_on_with_keras(ours, theirs, x, y=None):
    """One more epoch by Keras: still equal, which proves that the slots came back."""
    histories = [
        model.fit(x, x if y is None else y, batch_size=BATCH, shuffle=False, verbose=0)
        for model in (ours, theirs)
    ]
    same_histories(*histories)
    same_weights(ours, theirs)


@pytest.mark.parametrize("name", [*FUSED, *XLA])
def test_histories_and_weights_are_keras_own(native, name, rows):
    settings = {"build": sequential, **(FUSED.get(name) or XLA[name])}
    x = rows.reshape(-1, 6, 6) if name == "images" else rows
    ours, theirs, engine = train_both(settings, x, validation_split=0.2)
    assert engine == ("fused" if name in FUSED else "xla")
    same_weights(ours, theirs)
    go_on_with_keras(ours, theirs, x)


@pytest.mark.parametrize("kind", ["noisy", "weighted", "validated", "validated otherwise"])
def test_targets_weights_and_validation_data_are_keras_own(native, kind, rows):
    rng = np.random.default_rng(0)
    noisy = np.clip(rows + rng.normal(0, 0.1, rows.shape), 0, 1)  # float64, as numpy has it
    x, y, options = rows, None, {}
    if kind == "noisy":
        x, y = noisy, rows
        options = {"validation_data": (noisy[:100], rows[:100]), "validation_freq": 2}
    elif kind == "weighted":
        options = {"sample_weight": rng.random(600), "validation_split": 0.1}
    elif kind == "validated":
        options = {"validation_data": (rows[:100], rows[:100])}
    else:
        options = {"validation_data": (noisy[:100], rows[:100], rng.random(100))}
    settings = {"build": sequential, "loss": "binary_crossentropy"}
    ours, theirs, engine = train_both(settings, x, y, **options)
    assert engine == ("fused" if kind.startswith("validated") else "xla")
    same_weights(ours, theirs)
    go_on_with_keras(ours, theirs, x, y)


def test_targets_that_equal_the_rows_are_the_rows(native, rows):
    history = tfae.fit(compiled(sequential), rows[:500], rows[:500], verbose=0)
    assert history.params["engine"] == "fused"


def test_one_epoch_is_one_trace(native, rows):
    """Every epoch and every later call runs what the first one made."""
    model = compiled(sequential, metrics=["mae"])
    for _ in range(2):
        tfae.fit(model, rows, batch_size=BATCH, epochs=2, verbose=0)
    (runner,) = model._tfae_kept.runners.values()
    assert runner._train.experimental_get_tracing_count() == 1


def test_what_works_in_training_only_is_at_work(rows):
    """Dropout and noise, other ones every epoch, are in the training loss alone."""

    def noisy():
        layers = [keras.layers.GaussianNoise(1.0), *sequential((32,)).layers]
        layers.insert(2, keras.layers.Dropout(0.5))
        return keras.Sequential([keras.Input((FEATURES,)), *layers])

    model = compiled(
        noisy, lambda: optimizers.SGD(1e-30)
    )  # learns nothing: the weights stay what they are
    history = tfae.fit(model, rows, validation_data=rows, epochs=3, batch_size=BATCH, verbose=0)
    losses, val_losses = history.history["loss"], history.history["val_loss"]
    assert history.params["engine"] == "xla"
    assert len(set(losses)) == 3
    assert val_losses == [pytest.approx(model.evaluate(rows, rows, verbose=0))] * 3
    assert min(losses) > 1.01 * val_losses[0]


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
    native_bfloat16 = policy == "mixed_bfloat16" and native.has_bfloat16
    assert history.params["engine"] == ("fused" if native_bfloat16 else "xla")


def test_a_precision_can_be_asked_for(rows):
    model = compiled(sequential)
    history = tfae.fit(model, rows, precision="mixed_float16", epochs=2, verbose=0)
    assert "float16" in history.params["reason"]
    assert np.isfinite(history.history["loss"]).all()
    with pytest.raises(ValueError, match="set_dtype_policy"):
        tfae.fit(compiled(sequential, metrics=["mse"]), rows, precision="mixed_bfloat16")


def conv():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(1, 3, padding="same", name="seen"),
        ]
    )


class OwnStep(keras.Model):
    """A model with a training step of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(FEATURES)

    def call(self, rows):
        return self.dense(rows)

    def train_step(self, data):
        return {"loss": tf.constant(0.0)}


def own_loss(targets, outputs):
    """None of Keras'."""
    return tf.reduce_mean(tf.square(targets - outputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"build": conv}, "layer 'seen' is a Conv2D"),
        ({"build": OwnStep}, "OwnStep has a train_step of its own"),
        ({"build": sequential, "loss": own_loss}, "the loss is own_loss"),
        ({"build": sequential, "loss": None}, "the loss is none"),
        ({"build": sequential, "run_eagerly": True}, "run_eagerly=True"),
    ],
)
def test_what_cannot_be_taken_is_named(settings, message, rows):
    model = compiled(**settings)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message) as raised:
        tfae.fit(model, rows, verbose=0)
    assert "model.fit" in str(raised.value) or "compile()" in str(raised.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.array(["a", "b"])}, "x must be an array of numbers"),
        ({"x": tf.data.Dataset.range(3)}, "got RangeDataset|got _RangeDataset"),
        ({"x": np.zeros((0, FEATURES))}, "x has no rows"),
        ({"y": np.zeros((5, FEATURES))}, "x has 600 rows and y 5"),
        ({"sample_weight": np.ones(5)}, "x has 600 rows and sample_weight 5"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"validation_split": 1.5}, "validation_split=1.5"),
        ({"validation_data": (1, 2, 3, 4)}, "validation_data must be"),
        ({"validation_data": np.zeros((0, FEATURES))}, "validation_data: x has no rows"),
        ({"validation_data": np.zeros((5, 3))}, "incompatible|expected shape"),
        ({"validation_freq": 0}, "validation_freq must be a whole number, at least 1; got 0"),
        ({"shuffle": "batch"}, "shuffle must be True or False, got 'batch'"),
        ({"seed": -1}, "seed must be a whole number, at least 0; got -1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"x": [np.zeros((4, 36)), np.zeros((4, 36))]}, "x must be one array, got a list of sev"),
        ({"engine": "warp"}, "engine must be one of auto, xla, fused; got 'warp'"),
        ({"precision": "half"}, "precision must be one of"),
        ({"engine": "fused", "y": np.zeros((600, FEATURES))}, "engine='fused' does not take"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, rows):
    with pytest.raises(ValueError, match=message):
        tfae.fit(compiled(sequential), **{"x": rows, "verbose": 0, **arguments})


def test_a_model_that_is_not_compiled_is_refused(rows):
    with pytest.raises(ValueError, match=r"call model\.compile\("):
        tfae.fit(sequential(), rows)
    with pytest.raises(ValueError, match="got a list"):
        tfae.fit([], rows)


@pytest.mark.parametrize(("metrics", "engine"), [([], "fused"), (["mse"], "xla")])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
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


@pytest.mark.parametrize("settings", [{}, {"metrics": ["mae", "mse"]}])
def test_evaluate_is_keras_own(native, settings, rows):
    model = compiled(sequential, loss="binary_crossentropy", **settings)
    expected = model.evaluate(rows, rows, verbose=0, return_dict=True)
    measured = tfae.evaluate(model, rows, verbose=0, return_dict=True)
    assert measured == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)
    values = tfae.evaluate(model, rows, verbose=0)
    assert values == pytest.approx(model.evaluate(rows, rows, verbose=0), rel=EPOCH_LOSS_RTOL)


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
        tfae.Autoencoder.from_keras(conv())
