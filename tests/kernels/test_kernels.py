"""The native kernels: odd sizes, threads, and what is the same to the bit."""

import numpy as np
import pytest
import tensorflow as tf
from reference import bfloat16, numpy_gradients, rows_with_zeros
from tolerances import EPOCH_LOSS_RTOL, MIXED_GRADIENT_RTOL, PRODUCT_RTOL

from tfae.autoencoder import Autoencoder
from tfae.config import TrainConfig
from tfae.engines.fused import FusedEngine
from tfae.nn.optimizers import make_optimizer
from tfae.nn.precision import PRECISIONS
from tfae.nn.scaling import Scaling
from tfae.nn.schedules import make_schedule
from tfae.nn.spec import ACTIVATIONS, Stack


def fused(native, config, features, threads, scaling=None):
    """A fresh fused engine with so many threads."""
    stack = Stack.mirrored(features, config.layers, config.activation, config.output_activation)
    return FusedEngine(
        Autoencoder(stack, scaling).network,
        config.loss,
        make_optimizer(config),
        make_schedule(config.schedule, config.learning_rate, 1),
        batch_size=config.batch_size,
        precision=PRECISIONS[config.precision],
        clip_norm=config.clip_norm,
        kernels=native,
        threads=threads,
    )


def bits(engine):
    """All of an engine's state as bytes."""
    return [variable.numpy().tobytes() for variable in engine.state.variables]


SHAPES = pytest.mark.parametrize(
    ("count", "features", "layers"),
    [(301, 70, (33, 9)), (90, 70, (100,)), (37, 299, (33,)), (301, 1300, (9,))],
    ids=["by rows", "by rows, wide", "by columns", "by columns, in two blocks of rows"],
)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("zeros", [0.0, 0.8])  # below and above where zeros are skipped
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@SHAPES
def test_a_step_on_any_number_of_threads_is_that_of_numpy(
    native, count, features, layers, threads, zeros, dtype
):
    config = TrainConfig(
        layers=layers, activation="tanh", optimizer="sgd", learning_rate=1.0, batch_size=512
    )
    rows = rows_with_zeros(count, features, zeros, dtype)  # fewer than a batch
    assert_step_is_numpys(native, config, rows, threads)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_features_whose_numbers_take_all_16_bits_are_walked_past(native, dtype):
    config = TrainConfig(layers=(4,), activation="tanh", optimizer="sgd", learning_rate=1.0)
    rng = np.random.default_rng(0)
    rows = np.zeros((20, 40_000), dtype)
    values = rng.integers(1, 256, (20, 200)) if dtype == "uint8" else rng.random((20, 200))
    rows[:, rng.choice(40_000, 200, replace=False)] = values
    assert_step_is_numpys(native, config, rows, threads=2)


def assert_step_is_numpys(native, config, rows, threads):
    engine = fused(native, config, rows.shape[1], threads)
    before = [param.numpy() for param in engine.state.params]
    inputs = rows / 255 if rows.dtype == np.uint8 else rows
    loss, grads = numpy_gradients(before, inputs, config.loss)

    measured = float(engine.train_epoch(tf.constant(rows), tf.range(len(rows))))

    assert measured == pytest.approx(loss, rel=EPOCH_LOSS_RTOL)
    for old, new, grad in zip(before, engine.state.params, grads, strict=True):
        atol = PRODUCT_RTOL * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new.numpy(), grad, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("zeros", [0.0, 0.8])  # below and above where zeros are skipped
@pytest.mark.parametrize("threads", [1, 3])
@SHAPES
def test_a_step_in_bfloat16_is_that_of_numpy_with_rounded_factors(
    native, count, features, layers, threads, zeros, dtype
):
    if not native.has_bfloat16:
        pytest.skip("this processor has no bfloat16 products")
    config = TrainConfig(
        layers=layers,
        activation="tanh",
        optimizer="sgd",
        learning_rate=1.0,
        batch_size=512,
        precision="mixed_bfloat16",
    )
    rows = rows_with_zeros(count, features, zeros, dtype)  # fewer than a batch
    engine = fused(native, config, features, threads)
    before = [param.numpy() for param in engine.state.params]
    inputs = rows / 255 if dtype == "uint8" else rows
    loss, grads = numpy_gradients(before, inputs, config.loss, bfloat16)

    measured = float(engine.train_epoch(tf.constant(rows), tf.range(len(rows))))

    assert measured == pytest.approx(loss, rel=1e-4)  # hidden values may round to the other side
    for old, new, grad in zip(before, engine.state.params, grads, strict=True):
        atol = MIXED_GRADIENT_RTOL["mixed_bfloat16"] * np.abs(grad).max()
        atol += 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new.numpy(), grad, rtol=0, atol=atol)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(("features", "layers"), [(70, (33, 9)), (299, (33,))])
def test_an_epoch_with_clipping_and_a_short_last_batch_is_that_of_numpy(
    native, features, layers, threads
):
    config = TrainConfig(
        layers=layers,
        activation="tanh",
        optimizer="sgd",
        learning_rate=1.0,
        batch_size=40,
        clip_norm=0.02,
    )
    rows = rows_with_zeros(93, features, 0.5, "float32")  # batches of 40, 40 and 13
    engine = fused(native, config, features, threads)
    before = [param.numpy() for param in engine.state.params]
    params, losses, norms = [param.astype(np.float64) for param in before], [], []
    for batch in np.split(rows, [40, 80]):
        loss, grads = numpy_gradients(params, batch, config.loss)
        losses.append(loss)
        norms.append(np.sqrt(sum((grad**2).sum() for grad in grads)))
        scale = min(1, config.clip_norm / norms[-1])
        params = [param - scale * grad for param, grad in zip(params, grads, strict=True)]

    measured = float(engine.train_epoch(tf.constant(rows), tf.range(len(rows))))

    assert max(norms) > config.clip_norm
    assert measured == pytest.approx(np.average(losses, weights=(40, 40, 13)), rel=EPOCH_LOSS_RTOL)
    for old, new, exact in zip(before, engine.state.params, params, strict=True):
        # Three steps' errors, which add up.
        atol = 3 * (PRODUCT_RTOL * np.abs(exact - old).max() + 1.2e-7 * np.abs(old).max())
        np.testing.assert_allclose(new.numpy(), exact, rtol=0, atol=atol)


@pytest.mark.parametrize("features", [20, 150])  # of which threads have rows, or columns
def test_scaled_rows_are_trained_on_and_evaluated_as_numpy_scales_them(native, features):
    rows = rows_with_zeros(90, features, 0.0, "float32") * 50 - 7
    low, width = rows.min(axis=0), np.ptp(rows, axis=0)
    config = TrainConfig(
        layers=(5,), activation="tanh", optimizer="sgd", learning_rate=1.0, batch_size=90
    )
    engine = fused(native, config, features, 2, Scaling("minmax", low, width))
    before = [param.numpy() for param in engine.state.params]
    loss, grads = numpy_gradients(before, (rows.astype(np.float64) - low) / width, config.loss)
    evaluated = float(engine.evaluate(tf.constant(rows)))
    measured = float(engine.train_epoch(tf.constant(rows), tf.range(90)))
    assert (measured, evaluated) == pytest.approx((loss, loss), rel=EPOCH_LOSS_RTOL)
    for old, new, grad in zip(before, engine.state.params, grads, strict=True):
        atol = PRODUCT_RTOL * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new.numpy(), grad, rtol=0, atol=atol)


@pytest.mark.parametrize("times", [1, 4])  # as wide: threads share rows, or columns
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_loss_that_is_not_a_number_shows(native, activation, times, byte_rows):
    config = TrainConfig(layers=(8,), activation=activation, batch_size=100, clip_norm=1.0)
    rows = tf.constant(np.tile(byte_rows, times))
    engine = fused(native, config, rows.shape[1], 2)
    engine.state.params[0].assign(tf.fill((rows.shape[1], 8), np.nan))
    assert np.isnan(float(engine.evaluate(rows)))
    assert np.isnan(float(engine.train_epoch(rows, tf.range(600))))


@pytest.mark.parametrize("times", [1, 8])  # as wide: threads share rows, or columns
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_number_of_threads_reproduces_its_bits(native, threads, precision, times, byte_rows):
    if precision == "mixed_bfloat16" and not native.has_bfloat16:
        pytest.skip("this processor has no bfloat16 products")
    config = TrainConfig(
        layers=(20,), optimizer="adam", batch_size=100, precision=precision, clip_norm=0.1
    )
    rows = tf.constant(np.tile(byte_rows, times))
    states = []
    for _ in range(2):
        engine = fused(native, config, rows.shape[1], threads)
        for epoch in range(20):
            order = tf.random.experimental.stateless_shuffle(tf.range(600), (0, epoch))
            engine.train_epoch(rows, order)
        states.append(bits(engine))
    assert states[0] == states[1]


@pytest.mark.parametrize("times", [1, 8])  # as wide: threads share rows, or columns
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("zeros", [0.0, 0.8])  # below and above where zeros are skipped
def test_the_steps_of_an_epoch_are_those_of_a_call_each(native, zeros, precision, times):
    """What the kernels keep from step to step, such as rounded weights, follows the weights."""
    if precision == "mixed_bfloat16" and not native.has_bfloat16:
        pytest.skip("this processor has no bfloat16 products")
    config = TrainConfig(layers=(20,), optimizer="adam", batch_size=50, precision=precision)
    rows = tf.constant(rows_with_zeros(150, 36 * times, zeros, "uint8"))
    whole, steps = (fused(native, config, rows.shape[1], 2) for _ in range(2))
    whole.train_epoch(rows, tf.range(150))
    for start in (0, 50, 100):
        steps.train_epoch(rows, tf.range(start, start + 50))
    assert bits(whole) == bits(steps)


def test_an_epoch_and_an_evaluation_are_each_one_trace(native, byte_rows):
    engine = fused(native, TrainConfig(layers=(8,)), 36, 2)
    rows = tf.constant(byte_rows)
    for epoch in range(3):
        engine.train_epoch(rows, tf.random.shuffle(tf.range(600), seed=epoch))
        engine.evaluate(rows)
    assert engine.train_epoch.experimental_get_tracing_count() == 1
    assert engine.evaluate.experimental_get_tracing_count() == 1
