"""The native kernels: odd sizes, threads, sanitizers and refusals."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from reference import bfloat16, numpy_gradients, rows_with_zeros
from tolerances import EPOCH_LOSS_RTOL, MIXED_GRADIENT_RTOL, PRODUCT_RTOL

from tfae.autoencoder import Autoencoder
from tfae.config import TrainConfig
from tfae.engines.fused import FusedEngine
from tfae.kernels.build import SOURCES
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


# What the ops refuse. A call that is right, and what is wrong with each of the others.

RIGHT = {
    "rows": np.zeros((10, 6), np.float32),
    "order": np.arange(10, dtype=np.int32),
    "center": np.zeros(0, np.float32),
    "width": np.zeros(0, np.float32),
    "rates": np.ones(3, np.float32),
    "decays": np.zeros(0, np.float32),
    "params": [np.zeros(shape, np.float32) for shape in ((6, 3), (3,), (3, 6), (6,))],
    "slots": [],
    "activations": [0, 6],
    "loss": 0,
    "compute": "float32",
    "optimizer": "sgd",
    "constants": [],
    "clip_norm": 0.0,
    "batch_size": 4,
    "threads": 2,
}
ones = [np.ones(shape, np.float32) for shape in ((6, 3), (3,), (3, 6), (6,))]
WRONG = {
    "rows of another width": ({"rows": np.zeros((10, 7), np.float32)}, "takes 7 columns"),
    "rows that are a list": ({"rows": np.zeros(10, np.float32)}, "rows must be a matrix"),
    "no rows": ({"rows": np.zeros((0, 6), np.float32)}, "rows must be a matrix"),
    "an order beyond the rows": ({"order": np.full(10, 10, np.int32)}, "beyond the 10"),
    "an order below the rows": ({"order": np.full(10, -1, np.int32)}, "beyond the 10"),
    "an order that is empty": ({"order": np.zeros(0, np.int32)}, "order must be a list"),
    "an order that is a matrix": ({"order": np.zeros((2, 5), np.int32)}, "order must be a list"),
    "too few rates": ({"rates": np.ones(2, np.float32)}, "rates must be 3"),
    "too many decays": ({"decays": np.ones(4, np.float32)}, "decays must be 3 or none"),
    "a center without a width": ({"center": np.zeros(6, np.float32)}, "go together"),
    "a center of another size": (
        {"center": np.zeros(5, np.float32), "width": np.ones(5, np.float32)},
        "a value for each column",
    ),
    "a bias of another size": (
        {"params": [*ones[:1], np.ones(4, np.float32), *ones[2:]]},
        "layer 0 takes 6 columns",
    ),
    "a kernel that is no matrix": ({"params": [ones[1], *ones[1:]]}, "layer 0 takes 6 columns"),
    "a stack that ends elsewhere": (
        {"params": [*ones[:2], np.ones((3, 5), np.float32), np.ones(5, np.float32)]},
        "takes 6 columns and gives 5",
    ),
    "a layer without an activation": ({"activations": [6]}, "for each of 1 layers"),
    "no activations": ({"activations": []}, "activations"),
    "an unknown activation": ({"activations": [99, 6]}, "unknown activation 99"),
    "an unknown loss": ({"loss": -1}, "unknown loss -1"),
    "cross-entropy of a relu": ({"activations": [0, 0]}, "needs a sigmoid"),
    "slots that sgd has not": ({"slots": ones}, "sgd has 0 slots"),
    "slots of another shape": (
        {"optimizer": "adam", "constants": [0.1, 0.1, 0.1], "slots": [*ones, *ones[::-1]]},
        "slot 4 has the shape",
    ),
    "constants that are missing": ({"optimizer": "adam", "slots": [*ones, *ones]}, "3 constants"),
    "an unknown optimizer": ({"optimizer": "rmsprop"}, "optimizer"),
    "no threads": ({"threads": 0}, "threads"),
    "rows of another type": ({"rows": np.zeros((10, 6), np.float64)}, "double"),
    "params of another type": ({"params": [tf.constant(p, tf.float64) for p in ones]}, "double"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused_by_the_op(native, case):
    native.ops.tfae_train_epoch(**RIGHT)
    wrong, message = WRONG[case]
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError), match=message):
        native.ops.tfae_train_epoch(**{**RIGHT, **wrong})


def test_the_other_ops_refuse_wrong_rows_too(native):
    names = ("rows", "center", "width", "params", "activations", "threads")
    shared = {name: RIGHT[name] for name in names}
    wrong = {**shared, "rows": np.zeros((10, 7), np.float32)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes 7 columns"):
        native.ops.tfae_layers(**wrong)
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes 7 columns"):
        native.ops.tfae_evaluate(**wrong, loss=0, compute="float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="unknown activation 99"):
        native.ops.tfae_evaluate(**{**shared, "activations": [99, 6]}, loss=0, compute="float32")


@pytest.mark.parametrize("name", ["rows", "bias"])
def test_a_scalar_is_refused_while_a_graph_is_traced(native, name):
    params = [tf.zeros(shape) for shape in ((6, 3), () if name == "bias" else (3,))]
    rows = tf.zeros(() if name == "rows" else (10, 6))

    @tf.function
    def traced():
        return native.ops.tfae_layers(
            rows=rows, center=[], width=[], params=params, activations=[0], threads=1
        )

    with pytest.raises(ValueError, match="must be rank"):
        traced()


# The sources by themselves, under the sanitizers and with other vectors than this machine's.

DRIVER = Path(__file__).parent / "kernels_driver.cc"


def driver_output(directory, *flags):
    """What the driver prints, built with these flags."""
    program = directory / "driver"
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, "-std=c++17", "-w", "-pthread", f"-I{SOURCES}", *flags, str(DRIVER)]
    done = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True)
    if "cannot find -l" in done.stderr:
        pytest.skip(f"the compiler has no such sanitizer: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plain_output(tmp_path_factory):
    """What the driver prints, built for this processor."""
    return driver_output(tmp_path_factory.mktemp("plain"), "-O1", "-march=native")


def without(extension):
    """A build for this processor, but for an extension of its instructions."""
    name = extension.replace("vbmi2", "_vbmi2")  # as the kernel spells it
    info = Path("/proc/cpuinfo")
    has = info.exists() and re.search(rf"^flags.*\b{name}\b", info.read_text(), re.MULTILINE)
    reason = f"this processor has no {extension} anyway"
    return pytest.param(
        ("-march=native", f"-mno-{extension}"),
        marks=pytest.mark.skipif(not has, reason=reason),
    )


@pytest.mark.parametrize(
    "flags",
    [
        ("-march=native", "-fsanitize=thread"),
        # Undefined behaviour traps: saying which it was takes as long again to compile.
        ("-march=native", "-fsanitize-undefined-trap-on-error", "-fsanitize=address,undefined"),
        ("-DTFAE_LANES=4",),
        without("avx2"),  # vectors of 8 without instructions of our own choice
        without("avx512dq"),
        without("avx512vbmi2"),
    ],
    ids=lambda flags: flags[-1],
)
def test_other_builds_of_the_sources_agree_and_no_sanitizer_complains(
    native, plain_output, flags, tmp_path
):
    assert driver_output(tmp_path, *flags) == plain_output
    assert plain_output.count("\n") == 21
