"""The parity ladder's rungs 1 to 4, for every engine: against float64 numpy and against Keras."""

import dataclasses

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from reference import numpy_gradients
from tolerances import (
    EPOCH_LOSS_RTOL,
    MIXED_GRADIENT_RTOL,
    PRODUCT_RTOL,
    STEP_WEIGHT_ATOL,
    STEPS_WEIGHT_ATOL,
)

from tfae.autoencoder import Autoencoder
from tfae.config import TrainConfig
from tfae.engines import make_engine
from tfae.nn.spec import ACTIVATIONS, Stack

ENGINES = ["xla", "fused"]


@pytest.fixture(params=ENGINES)
def engine_name(request):
    """Each engine in turn."""
    if request.param == "fused":
        request.getfixturevalue("native")
    return request.param


@pytest.fixture
def engine_names(request):
    """All engines that this machine has, for tests that train one Keras model for all of them."""
    try:
        request.getfixturevalue("native")
    except pytest.skip.Exception:
        return ENGINES[:1]
    return ENGINES


def build(config, features, row_count, seed=0, stack=None):
    """A fresh engine, whose biases are not zero, so that their use shows."""
    stack = stack or Stack.mirrored(
        features, config.layers, config.activation, config.output_activation
    )
    model = Autoencoder(stack, seed=seed).network
    rng = np.random.default_rng(seed)
    for bias in model.params[1::2]:
        bias.assign(rng.uniform(-0.1, 0.1, bias.shape).astype(np.float32))
    return make_engine(config, model, row_count)[0]


def weights_of(engine):
    """The parameters as numpy arrays."""
    return [param.numpy() for param in engine.state.params]


def float_rows(count, features, seed=0):
    """Rows of which some values are exactly zero, as pixels are."""
    rng = np.random.default_rng(seed)
    return (rng.random((count, features)) * (rng.random((count, features)) < 0.6)).astype("f4")


# Rung 1: outputs and every gradient against float64 numpy.


SHAPES = [
    # rows, features, layers: ragged on purpose
    (1, 1, (1,)),
    (1, 784, (32,)),
    (7, 13, (5,)),
    (96, 784, (32,)),
    (33, 65, (17, 3)),
    (256, 100, (64, 31, 7)),
]


@pytest.mark.parametrize(
    ("count", "features", "layers", "loss"),
    [
        *((*shape, "binary_crossentropy") for shape in SHAPES),
        *((*shape, "mse") for shape in SHAPES[3:5]),
    ],
)
def test_loss_and_gradients_are_those_of_float64_numpy(count, features, layers, loss, engine_name):
    config = TrainConfig(
        layers=layers,
        activation="tanh",
        loss=loss,
        optimizer="sgd",
        learning_rate=1.0,
        engine=engine_name,
    )
    engine = build(config, features, count)
    rows = float_rows(count, features)
    before = weights_of(engine)
    value, grads = numpy_gradients(before, rows, loss)

    measured = float(engine.train_epoch(tf.constant(rows), tf.range(count)))

    assert measured == pytest.approx(value, rel=EPOCH_LOSS_RTOL)
    for old, new, grad in zip(before, weights_of(engine), grads, strict=True):
        # At a learning rate of 1 the step is the gradient; the weights' own rounding comes on top.
        atol = PRODUCT_RTOL * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new, grad, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("xla", "mixed_bfloat16"), ("xla", "mixed_float16"), ("fused", "mixed_bfloat16")],
)
@pytest.mark.parametrize(("count", "features", "layers"), SHAPES[3::2])
def test_mixed_gradients_are_those_of_rounded_inputs(
    count, features, layers, engine, precision, request
):
    if engine == "fused" and not request.getfixturevalue("native").has_bfloat16:
        pytest.skip("this processor has no bfloat16 products")
    config = TrainConfig(
        layers=layers,
        activation="tanh",
        optimizer="sgd",
        learning_rate=1.0,
        precision=precision,
        engine=engine,
    )
    engine = build(config, features, count)
    rows = float_rows(count, features)
    before = weights_of(engine)
    dtype = ml_dtypes.bfloat16 if precision == "mixed_bfloat16" else np.float16
    # float16 rounds the upstream gradients after they were scaled; at 2^15 none is subnormal.
    scale = 1.0 if precision == "mixed_bfloat16" else 2.0**15

    def rounded(x):
        small = np.abs(x).max() < 1e-2  # only upstream gradients are: those are scaled
        factor = scale if small else 1.0
        return (x * factor).astype(np.float32).astype(dtype).astype(np.float64) / factor

    value, grads = numpy_gradients(before, rows, "binary_crossentropy", rounded)
    measured = float(engine.train_epoch(tf.constant(rows), tf.range(count)))

    assert measured == pytest.approx(value, rel=1e-4)  # tanh of a rounded input, rounded again
    for old, new, grad in zip(before, weights_of(engine), grads, strict=True):
        atol = MIXED_GRADIENT_RTOL[precision] * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new, grad, rtol=0, atol=atol)


# Rungs 2 to 4: against Keras.

KERAS_OPTIMIZERS = {
    "adadelta": lambda rate, **kw: keras.optimizers.Adadelta(rate, **kw),
    "adam": lambda rate, **kw: keras.optimizers.Adam(rate, **kw),
    "sgd": lambda rate, **kw: keras.optimizers.SGD(rate, **kw),
}


def keras_twin(engine, config, rate=None):
    """The Keras model with the engine's weights, compiled for the same training."""
    stack = engine.network.stack
    shapes = zip(stack.widths[1:], stack.activations, strict=True)
    layers = [keras.layers.Dense(w, a) for w, a in shapes]
    twin = keras.Sequential([keras.Input((stack.features,)), *layers])
    twin.set_weights(weights_of(engine))
    settings = {
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm or None,
    }
    if config.optimizer == "adam":
        settings |= {"beta_2": config.beta_2}
    if config.optimizer == "sgd":
        settings |= {"momentum": config.momentum, "nesterov": config.nesterov}
    optimizer = KERAS_OPTIMIZERS[config.optimizer](rate or float(config.learning_rate), **settings)
    twin.compile(optimizer=optimizer, loss=config.loss)
    return twin


def assert_epochs_agree(names, config, rows, validation, epochs, rate=None, stack=None):
    """Train these engines and Keras, epoch by epoch in the same order, and compare every loss."""
    count = len(rows)
    engines = [
        build(dataclasses.replace(config, engine=name), rows.shape[1], count, stack=stack)
        for name in names
    ]
    twin = keras_twin(engines[0], config, rate)
    inputs = rows / np.float32(255) if rows.dtype == np.uint8 else rows
    targets = validation / np.float32(255) if rows.dtype == np.uint8 else validation
    resident, held_out = tf.constant(rows), tf.constant(validation)
    rng = np.random.default_rng(5)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(count).astype(np.int32)
        shuffled = inputs[order]
        history = twin.fit(
            shuffled,
            shuffled,
            batch_size=config.batch_size,
            shuffle=False,
            validation_data=(targets, targets),
            verbose=0,
        ).history
        for engine in engines:
            loss = float(engine.train_epoch(resident, tf.constant(order)))
            val_loss = float(engine.evaluate(held_out))
            when = f"{engine.name}, epoch {epoch}"
            assert loss == pytest.approx(history["loss"][0], rel=EPOCH_LOSS_RTOL), when
            assert val_loss == pytest.approx(history["val_loss"][0], rel=EPOCH_LOSS_RTOL), when


CASES = {
    "adadelta at Keras' default rate, mae": {
        "optimizer": "adadelta", "learning_rate": 0.001, "loss": "mae",
    },
    "adadelta at a rate that is a whole number, huber": {
        "optimizer": "adadelta", "learning_rate": 1, "loss": "huber",
    },
    "adam with weight decay": {"weight_decay": 0.01},
    "adam with a decay that float32 hardly sees": {"weight_decay": 1e-4, "beta_2": 0.9},
    "adam with clipping": {"clip_norm": 0.01},
    "sgd with nesterov, in a batch larger than the data": {
        "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True,
        "batch_size": 4096,
    },
    "a short last batch, deep": {
        "optimizer": "sgd", "learning_rate": 0.5, "momentum": 0.9, "layers": (24, 12, 6),
        "loss": "mse",
    },
    "batch of one": {"batch_size": 1},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_epochs_are_those_of_keras(case, byte_rows, engine_names):
    """Of whole batches, but for one case: a short last one takes XLA as long again to compile.

    That one's optimizer shows a gradient of the wrong size, which Adam or clipping would hide. The
    rows are as wide as it takes for the fused engine's threads to share columns.
    """
    config = TrainConfig(**{"layers": (8,), "optimizer": "adam", "batch_size": 64, **CASES[case]})
    wide = np.hstack([np.roll(byte_rows, shift, axis=0) for shift in range(4)])
    few = {"batch of one": 100, "a short last batch, deep": 500}.get(case, 7 * 64)
    assert_epochs_agree(engine_names, config, wide[:few], wide[500:], epochs=2)


def test_epochs_of_all_activations_are_those_of_keras(byte_rows, engine_names):
    """In one stack, a layer each."""
    widths = 36, 20, 18, 16, 14, 16, 18, 20, 36
    config = TrainConfig(loss="mse", optimizer="adam", batch_size=64)
    stack = Stack(widths, ACTIVATIONS, 4)
    assert_epochs_agree(engine_names, config, byte_rows[:448], byte_rows[500:], 2, stack=stack)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_from_each_activation_to_each_loss_is_that_of_keras(
    activation, loss, native, byte_rows
):
    """Of the fused engine, whose kernels have each pair in code of its own."""
    settings = {"optimizer": "sgd", "learning_rate": 1.0, "engine": "fused", "loss": loss}
    config = TrainConfig(layers=(8,), output_activation=activation, batch_size=64, **settings)
    engine = build(config, 36, 64)
    twin = keras_twin(engine, config)
    inputs = tf.constant(byte_rows[:64] / np.float32(255))
    before = weights_of(engine)
    with tf.GradientTape() as tape:
        theirs = twin.compute_loss(inputs, inputs, twin(inputs, training=True))
    grads = tape.gradient(theirs, twin.trainable_variables)
    ours = float(engine.train_epoch(tf.constant(byte_rows[:64]), tf.range(64)))
    assert ours == pytest.approx(float(theirs), rel=EPOCH_LOSS_RTOL)
    for old, new, grad in zip(before, weights_of(engine), grads, strict=True):
        atol = PRODUCT_RTOL * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new, grad, rtol=0, atol=atol)


def test_huber_beyond_its_delta_is_that_of_keras(table, engine_names):
    config = TrainConfig(
        layers=(4,), activation="tanh", output_activation="linear", loss="huber", optimizer="adam"
    )
    rows = (table / table.std(axis=0) * 3).astype(np.float32)
    assert np.abs(rows).max() > 3  # errors on both sides of 1
    assert_epochs_agree(engine_names, config, rows[:256], rows[400:], epochs=3)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_schedules_are_keras_cosine_decay(schedule, byte_rows, engine_names):
    config = TrainConfig(layers=(8,), optimizer="adam", schedule=schedule, epochs=4, batch_size=50)
    steps = 4 * 10
    warmup = steps // 10 if schedule == "one_cycle" else 0
    rate = (
        keras.optimizers.schedules.CosineDecay(0.001 / 25, steps - warmup, 0.0, "w", 0.001, warmup)
        if warmup
        else keras.optimizers.schedules.CosineDecay(0.001, steps)
    )
    assert_epochs_agree(engine_names, config, byte_rows[:500], byte_rows[500:], epochs=4, rate=rate)


@pytest.mark.parametrize("optimizer", KERAS_OPTIMIZERS)
def test_fifty_steps_are_those_of_keras(optimizer, byte_rows, engine_name):
    config = TrainConfig(layers=(8,), optimizer=optimizer, engine=engine_name)
    engine = build(config, byte_rows.shape[1], 64)
    twin = keras_twin(engine, config)
    rng = np.random.default_rng(1)
    for step in range(1, 51):
        batch = byte_rows[rng.choice(len(byte_rows), 64, replace=False)]
        engine.train_epoch(tf.constant(batch), tf.range(64))
        twin.train_on_batch(batch / np.float32(255), batch / np.float32(255))
        differences = [
            np.abs(ours - theirs).max()
            for ours, theirs in zip(weights_of(engine), twin.get_weights(), strict=True)
        ]
        atol = STEP_WEIGHT_ATOL if step == 1 else STEPS_WEIGHT_ATOL
        assert max(differences) < atol, f"step {step} is the first that differs"


@pytest.mark.parametrize("optimizer", ["adadelta", "adam"])
def test_epochs_of_real_digits_are_those_of_keras(optimizer, digits, engine_names):
    """Of a sixth of them; `benchmarks.parity` has all, for 50 epochs."""
    train, validation = (rows[: len(rows) // 6] for rows in digits)
    assert len(train) % 256
    assert_epochs_agree(engine_names, TrainConfig(optimizer=optimizer), train, validation, 2)
