"""The native kernels: odd sizes, threads, sanitizers, refusals, and how they are built."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from reference import numpy_gradients
from tolerances import EPOCH_LOSS_RTOL, PRODUCT_RTOL, RECONSTRUCTION_ATOL

from tfae.config import TrainConfig
from tfae.engines import make_engine
from tfae.engines.fused import LARGEST_KERNEL, FusedEngine
from tfae.errors import ConfigError, TrainingError
from tfae.kernels.build import SOURCES, KernelError, build
from tfae.kernels.check import check
from tfae.kernels.library import Kernels, load_built
from tfae.kernels.threads import control_group_cores, thread_count
from tfae.model import Autoencoder
from tfae.optimizers import make_optimizer
from tfae.precision import PRECISIONS
from tfae.scaling import Scaling
from tfae.schedules import make_schedule
from tfae.spec import ACTIVATIONS, Stack


def fused(native, config, features, threads, scaling=None):
    """A fresh fused engine with so many threads."""
    stack = Stack.mirrored(features, config.layers, config.activation, config.output_activation)
    return FusedEngine(
        Autoencoder(stack, scaling),
        config.loss,
        make_optimizer(config),
        make_schedule(config.schedule, config.learning_rate, 1),
        batch_size=config.batch_size,
        precision=PRECISIONS[config.precision],
        clip_norm=config.clip_norm,
        native=native,
        threads=threads,
    )


def bits(engine):
    """All of an engine's state as bytes."""
    return [variable.numpy().tobytes() for variable in engine.state.variables]


def rows_with_zeros(count, features, zeros, dtype, seed=0):
    """Rows of which a part is zero."""
    rng = np.random.default_rng(seed)
    kept = rng.random((count, features)) >= zeros
    values = rng.integers(1, 256, (count, features)) if dtype == "uint8" else rng.random(kept.shape)
    return (values * kept).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("zeros", [0.0, 0.8])  # below and above where zeros are skipped
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_a_step_on_any_number_of_threads_is_that_of_numpy(native, threads, zeros, dtype):
    config = TrainConfig(
        layers=(33, 9), activation="tanh", optimizer="sgd", learning_rate=1.0, batch_size=512
    )
    rows = rows_with_zeros(301, 70, zeros, dtype)  # fewer than a batch
    engine = fused(native, config, 70, threads)
    before = [param.numpy() for param in engine.state.params]
    inputs = rows / 255 if dtype == "uint8" else rows
    loss, grads = numpy_gradients(before, inputs, config.loss)

    measured = float(engine.train_epoch(tf.constant(rows), tf.range(len(rows))))

    assert measured == pytest.approx(loss, rel=EPOCH_LOSS_RTOL)
    for old, new, grad in zip(before, engine.state.params, grads, strict=True):
        atol = PRODUCT_RTOL * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new.numpy(), grad, rtol=0, atol=atol)


def test_scaled_rows_are_trained_on_and_evaluated_as_numpy_scales_them(native):
    rows = rows_with_zeros(90, 20, 0.0, "float32") * 50 - 7
    low, width = rows.min(axis=0), np.ptp(rows, axis=0)
    config = TrainConfig(
        layers=(5,), activation="tanh", optimizer="sgd", learning_rate=1.0, batch_size=90
    )
    engine = fused(native, config, 20, 2, Scaling("minmax", low, width))
    before = [param.numpy() for param in engine.state.params]
    loss, grads = numpy_gradients(before, (rows.astype(np.float64) - low) / width, config.loss)
    evaluated = float(engine.evaluate(tf.constant(rows)))
    measured = float(engine.train_epoch(tf.constant(rows), tf.range(90)))
    assert (measured, evaluated) == pytest.approx((loss, loss), rel=EPOCH_LOSS_RTOL)
    for old, new, grad in zip(before, engine.state.params, grads, strict=True):
        atol = PRODUCT_RTOL * np.abs(grad).max() + 1.2e-7 * np.abs(old).max()
        np.testing.assert_allclose(old - new.numpy(), grad, rtol=0, atol=atol)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_loss_that_is_not_a_number_shows(native, activation, byte_rows):
    config = TrainConfig(layers=(8,), activation=activation)
    engine = fused(native, config, 36, 2)
    engine.state.params[0].assign(tf.fill((36, 8), np.nan))
    rows = tf.constant(byte_rows)
    assert np.isnan(float(engine.evaluate(rows)))
    assert np.isnan(float(engine.train_epoch(rows, tf.range(600))))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_number_of_threads_reproduces_its_bits(native, threads, precision, byte_rows):
    if precision == "mixed_bfloat16" and not native.has_bfloat16:
        pytest.skip("this processor has no bfloat16 products")
    config = TrainConfig(
        layers=(20,), optimizer="adam", batch_size=150, precision=precision, clip_norm=0.1
    )
    states = []
    for _ in range(2):
        engine = fused(native, config, 36, threads)
        for epoch in range(20):
            order = tf.random.experimental.stateless_shuffle(tf.range(600), (0, epoch))
            engine.train_epoch(tf.constant(byte_rows), order)
        states.append(bits(engine))
    assert states[0] == states[1]


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
    """What the driver prints, built for this processor as a user has it."""
    return driver_output(tmp_path_factory.mktemp("plain"), "-O1", "-march=native")


@pytest.mark.parametrize(
    "flags",
    [
        ("-O0", "-march=native", "-fsanitize=thread"),
        ("-O0", "-march=native", "-fno-sanitize-recover=all", "-fsanitize=address,undefined"),
        ("-O1", "-DTFAE_LANES=4"),
        ("-O1", "-DTFAE_LANES=8"),
    ],
    ids=lambda flags: flags[-1],
)
def test_other_builds_of_the_sources_agree_and_no_sanitizer_complains(
    native, plain_output, flags, tmp_path
):
    assert driver_output(tmp_path, *flags) == plain_output
    assert plain_output.count("\n") == 15


# How they are built, and what becomes of a run where they cannot be.


@pytest.fixture
def fake_compiler(tmp_path, native, monkeypatch):
    """A compiler that copies the library that there is: it takes a second, and keeps a log."""
    library = build().path
    script, log = tmp_path / "slow-c++", tmp_path / "log"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho run >> {log}\nsleep 1\n'
        f'while [ "$1" != -o ]; do shift; done\ncp {library} "$2"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("TFAE_CACHE_DIR", str(tmp_path / "fresh"))
    return log


def test_processes_that_start_together_build_once(fake_compiler):
    # As a user has it: with the tests' own setting, TensorFlow's lines are not held back.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tfae.kernels"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert fake_compiler.read_text() == "run\n"
    assert all("checked against float64 numpy" in out for out, _ in outputs)
    assert all(error == "" for _, error in outputs)


def test_a_second_build_is_the_first_one(fake_compiler):
    lines = []
    first, second = build(lines.append), build(lines.append)
    assert first.path == second.path
    assert first.seconds > 0
    assert second.seconds == 0
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("CXX", "no-such-compiler", "the compiler that CXX names, no-such-compiler, is not there"),
        ("CXX", "false", "/false failed"),
        ("CXX", "no-program", "/no-program cannot be run (Exec format error)"),
        ("PATH", "/nowhere", "there is no C++ compiler"),
        (
            "TFAE_CACHE_DIR",
            "/dev/null/cache",
            "the cache /dev/null/cache/kernels cannot be used",
        ),
    ],
)
def test_a_run_goes_on_without_kernels_unless_they_were_asked_for(
    setting, value, reason, monkeypatch, tmp_path
):
    (tmp_path / "no-program").write_text("?")
    (tmp_path / "no-program").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TFAE_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv(setting, value)
    if setting == "PATH":
        monkeypatch.delenv("CXX", raising=False)
    model = Autoencoder(Stack.mirrored(6, (3,)))
    engine, why = make_engine(TrainConfig(), model, 10)
    assert engine.name == "xla"
    assert why.startswith("no fused kernels: ")
    assert reason in why
    with pytest.raises(TrainingError, match="--engine xla needs no compiler"):
        make_engine(TrainConfig(engine="fused"), model, 10)


def test_kernels_that_compute_wrong_numbers_are_found_out(native):
    def off(**arguments):
        done = native.ops.tfae_train_epoch(**arguments)
        return done._replace(new_params=[param * 1.01 for param in done.new_params])

    class Ops:
        tfae_train_epoch = staticmethod(off)

    check(native)
    with pytest.raises(KernelError, match="wrong numbers"):
        check(Kernels(Ops, native.simd, False))


def test_kernels_that_fail_their_check_are_not_kept(native, tmp_path):
    bad = tmp_path / "fused-bad.so"
    bad.write_bytes(build().path.read_bytes())
    program = (
        "import pathlib, sys; from tfae.kernels import library\n"
        "def check(kernels): raise library.KernelError('wrong numbers')\n"
        "library.check = check\n"
        "try: library._load(pathlib.Path(sys.argv[1]))\n"
        "except library.KernelError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(bad)], capture_output=True, text=True)
    assert done.stdout == "wrong numbers\n", done.stderr
    assert not bad.exists()


# The choice.


def test_auto_takes_the_fused_engine_where_it_is_faster(native):
    def chosen(features, **options):
        config = TrainConfig(**options)
        model = Autoencoder(Stack.mirrored(features, config.layers))
        engine, reason = make_engine(config, model, 10)
        return engine.name, reason

    assert chosen(784) == ("fused", "expected to be the fastest here")
    assert chosen(784, engine="xla") == ("xla", "asked for by name")
    assert chosen(784, engine="fused") == ("fused", "asked for by name")
    wide = LARGEST_KERNEL // 784 + 1
    name, reason = chosen(784, layers=(wide,))
    assert name == "xla"
    assert f"784 x {wide}" in reason
    assert chosen(784, layers=(wide,), engine="fused")[0] == "fused"
    name, reason = chosen(784, precision="mixed_float16")
    assert name == "xla"
    assert "not in float16" in reason
    with pytest.raises(ConfigError, match="--engine fused does not take this run"):
        chosen(784, precision="mixed_float16", engine="fused")


# The threads.


def test_the_threads_are_those_that_the_process_may_use(monkeypatch):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert thread_count() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    assert thread_count() == 1


def test_the_threads_follow_tensorflows_setting():
    program = (
        "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads(1); "
        "from tfae.kernels.threads import thread_count; print(thread_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/\n", {}, np.inf),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/user/job\n", {"user/cpu.max": "300000 100000", "user/job/cpu.max": "max 100000"}, 3),
        (
            "4:cpu,cpuacct:/job\n3:memory:/job\n",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            1,
        ),
    ],
    ids=["no limit", "version 2", "of a group above", "version 1"],
)
def test_the_threads_are_those_that_the_control_group_pays_for(membership, files, cores, tmp_path):
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert control_group_cores(tmp_path / "groups", tmp_path / "membership") == cores


# Inference.


@pytest.mark.parametrize("kind", ["bytes", "floats", "scaled floats"])
@pytest.mark.parametrize("by_kernels", [True, False])
def test_codes_and_reconstructions_are_those_of_float64_numpy(
    native, kind, by_kernels, monkeypatch
):
    if by_kernels:
        assert load_built() is native
    else:
        monkeypatch.setattr("tfae.model.load_built", lambda: None)
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
