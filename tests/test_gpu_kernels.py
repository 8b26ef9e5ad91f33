"""The GPU's epoch kernel: its launch, its arithmetic as the processor runs it, its compilation."""

import ctypes
import dataclasses
import json
import subprocess
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf
from reference import rows_with_zeros
from tolerances import MIXED_LOSS_RTOL

from benchmarks.gpu.problem import Problem, relative_errors
from tfae.config import TrainConfig
from tfae.engines import make_engine
from tfae.engines.engine import NotTaken
from tfae.engines.gpu import GpuEngine
from tfae.environment import visible_gpus
from tfae.kernels.compiler import NoCompiler
from tfae.kernels.gpu.build import ARCHITECTURES, SOURCES, build_cubin, cubin_command
from tfae.kernels.gpu.library import load_op
from tfae.kernels.gpu.plan import Device, NoPlan, Settings, plan_launch
from tfae.model import Autoencoder
from tfae.spec import ACTIVATIONS, Stack
from tfae.train import main as train

H200 = Device(multiprocessors=132, shared_bytes=232448)
DEVICES = {  # one of each compute capability, as the data sheets and the CUDA guide have them
    "A30, 8.0": Device(multiprocessors=56, shared_bytes=166912),
    "RTX 4060, 8.9": Device(multiprocessors=24, shared_bytes=101376),
    "H200, 9.0": H200,
    "B200, 10.0": Device(multiprocessors=148, shared_bytes=232448),
}
SMALL = Device(multiprocessors=5, shared_bytes=46 << 10)  # batches in chunks, weights off chip

# Where inputs are rounded alike, what is left are float32's sums, and the few numbers that they
# carry over the middle between two halves, which are 2^-9 apart.
STEP_RTOL = 1e-3
# An epoch carries those on.
EPOCH_RTOL = 1e-2


class HostMemory:
    """numpy's arrays as a device's memory."""

    put = staticmethod(np.copy)
    get = staticmethod(np.asarray)

    @staticmethod
    def address(array):
        return array.ctypes.data


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Launches the kernel on the processor: (problem, plan) -> what `Problem.launch` returns."""
    path = tmp_path_factory.mktemp("gpu") / "host.so"
    flags = ("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")
    subprocess.run(["g++", *flags, str(SOURCES / "host.cc"), "-o", str(path)], check=True)
    library = ctypes.CDLL(str(path))

    def launch(problem, plan):
        def run(name, settings):
            getattr(library, name)(ctypes.byref(settings), plan.blocks, plan.shared_bytes)

        return problem.launch(plan, HostMemory, run)

    return launch


def assert_right(problem, launched, rtol):
    loss, tensors, _ = launched
    errors = relative_errors(problem, loss, tensors, problem.reference())
    assert all(error < rtol for error in errors.values()), errors  # NaN is not


def rows(count, features, dtype="uint8"):
    return rows_with_zeros(count, features, 0.5, dtype)


@pytest.mark.parametrize("optimizer", ["adadelta", "adam", "momentum", "sgd"])
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_a_step_is_that_of_float64(host, half, optimizer):
    problem = Problem(50, 12, 40, rows(40, 50), half, optimizer)
    assert_right(problem, host(problem, problem.plan(H200)), STEP_RTOL)


STANDARDISED = {  # errors on both sides of Huber's 1
    "rows": np.random.default_rng(1).normal(5, 3, (40, 50)).astype("f"),
    "center": np.full(50, 5, "f"),
    "width": np.full(50, 3, "f"),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "linear", "decay": 0.01},
        {"clip_norm": 1e-4},
        {"clip_norm": 1e-4, "half": "float16"},
        {"rows": rows(40, 50, "float32")},
        {"loss": "mae"},
        {**STANDARDISED, "loss": "huber", "output_activation": "linear"},
        *({"loss": "mse", "activation": name, "output_activation": name} for name in ACTIVATIONS),
    ],
    ids=lambda changes: ", ".join(
        f"{k} {v}" if isinstance(v, str) else k for k, v in changes.items()
    ),
)
def test_settings_are_those_of_float64(host, changes):
    problem = dataclasses.replace(Problem(50, 12, 40, rows(40, 50), optimizer="sgd"), **changes)
    assert_right(problem, host(problem, problem.plan(H200)), STEP_RTOL)


@pytest.mark.parametrize(
    ("features", "hidden", "batch", "count", "device"),
    [
        (784, 32, 64, 150, H200),
        (1, 1, 1, 3, H200),
        (17, 33, 24, 50, H200),
        (1100, 16, 32, 70, H200),  # more blocks than a thread adds parts of at once
        (32, 256, 64, 150, H200),  # a wide layer, of which a thread takes more rows
        (100, 40, 100, 230, SMALL),
        (40, 16, 150, 320, Device(multiprocessors=3, shared_bytes=36 << 10)),  # chunks alone
        (200, 12, 32, 80, Device(multiprocessors=2, shared_bytes=20 << 10)),  # slices alone
        (201, 17, 100, 230, Device(multiprocessors=3, shared_bytes=30 << 10)),  # both, odd ends
    ],
)
def test_an_epoch_is_that_of_float64(host, features, hidden, batch, count, device):
    problem = Problem(features, hidden, batch, rows(count, features))
    assert_right(problem, host(problem, problem.plan(device)), EPOCH_RTOL)


@pytest.mark.parametrize(
    ("device", "part"),
    [
        (Device(multiprocessors=3, shared_bytes=36 << 10), "chunk"),
        (Device(multiprocessors=1, shared_bytes=26 << 10), "slice"),
    ],
)
def test_parts_of_a_batch_are_clipped_as_a_whole(host, device, part):
    problem = Problem(40, 16, 150, rows(320, 40), "float16", "adam", clip_norm=1e-3)
    plan = problem.plan(device)
    assert plan.chunk < 150 if part == "chunk" else plan.slices > 1
    assert_right(problem, host(problem, plan), EPOCH_RTOL)


def test_results_are_the_same_to_the_bit(host):
    problem = Problem(100, 16, 32, rows(80, 100))
    first, second = (host(problem, problem.plan(H200)) for _ in range(2))
    assert first[0] == second[0]
    for a, b in zip(chain(*first[1]), chain(*second[1]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("loss_scale", "good_steps", "skipped"),
    [(2.0**25, 0, 3), (2.0**25, 1999, 3), (2.0**10, 1998, 0)],
    ids=["skipped", "skipped late", "grown"],
)
def test_the_loss_scale_adapts_as_in_float64(host, loss_scale, good_steps, skipped):
    """A step that overflows float16 changes nothing but the scale, and takes no rate."""
    settings = {"loss_scale": loss_scale, "good_steps": good_steps}
    problem = Problem(20, 4, 16, rows(100, 20), "float16", "adam", **settings)
    launched = host(problem, problem.plan(H200))
    assert launched[2] == problem.reference()[2]
    assert launched[2][2] == skipped
    assert_right(problem, launched, EPOCH_RTOL)


def test_the_tutorials_weights_stay_on_chip_in_one_wave():
    plan = plan_launch(784, 32, 256, H200)
    assert (plan.blocks, plan.slice, plan.chunk) == (49, 16, 256)
    assert not plan.spills


@pytest.mark.parametrize("features", [1, 15, 784, 4096, 60_000, 1_000_000])
@pytest.mark.parametrize("hidden", [1, 32, 256])
@pytest.mark.parametrize("batch", [1, 256, 4096])
@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_plan_covers_all_and_fits(features, hidden, batch, device):
    plan = plan_launch(features, hidden, batch, device)
    assert plan.blocks <= device.multiprocessors
    of_a_block = plan.slice * plan.slices
    assert (plan.blocks - 1) * of_a_block < features <= plan.blocks * of_a_block
    assert plan.shared_bytes <= device.shared_bytes
    assert plan.chunk % 16 == 0
    assert all(offset % 16 == 0 for offset in plan.offsets.values())


def test_a_plan_puts_off_chip_what_does_not_fit():
    assert not plan_launch(40, 16, 150, Device(3, 36 << 10)).spills
    assert plan_launch(100, 40, 100, SMALL).spills


def test_a_refusal_names_its_reason():
    with pytest.raises(NoPlan, match="257 units is more than 256"):
        plan_launch(784, 257, 256, H200)
    with pytest.raises(NoPlan, match="5000 rows is more than 4096"):
        plan_launch(784, 32, 5000, H200)
    with pytest.raises(NoPlan, match="more than 2147483647"):
        plan_launch(10_000_000, 256, 256, H200)
    with pytest.raises(NoPlan, match="not even 16 features a block fit in 8192 bytes"):
        plan_launch(784, 256, 256, Device(16, 8 << 10))


def test_the_cubin_has_a_kernel_for_each_precision_and_kind_of_rows():
    """Of the oldest devices: their instructions are those that all have."""
    try:
        code = build_cubin(min(ARCHITECTURES, key=float)).read_bytes()
    except NoCompiler as error:
        pytest.skip(str(error))
    for half in ("bfloat16", "float16"):
        for kind in ("uint8", "float32"):
            assert f"tfae_epoch_{half}_{kind}".encode() in code


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_nvcc_knows_each_kind_of_device(capability):
    try:
        command = cubin_command(capability)
    except NoCompiler as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [*command, "--dryrun", str(SOURCES / "epoch.cu")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_arguments_are_laid_out_as_in_c():
    assert ctypes.sizeof(Settings) == 42 * 8 + (22 + 4) * 4


@pytest.mark.parametrize(
    ("layers", "precision", "reason"),
    [((32,), "float32", "no float32 products"), ((64, 32), "mixed_bfloat16", "one hidden layer")],
)
def test_an_engine_refuses_what_no_gpu_would_take(layers, precision, reason):
    with pytest.raises(NotTaken, match=reason):
        GpuEngine.check(Stack.mirrored(784, layers), precision)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ((), "no float32 products"),
        (("--precision", "mixed_bfloat16", "--layers", "8,4"), "one hidden layer"),
        (("--precision", "mixed_bfloat16"), "has not been measured"),
    ],
)
def test_a_run_says_why_xla_takes_it_on_a_gpu(rows_file, tmp_path, monkeypatch, flags, reason):
    monkeypatch.setattr("tfae.engines.visible_gpus", lambda: ["a GPU"])
    options = ["--epochs", "1", "--quiet", "--workdir", f"{tmp_path}/run", *flags]
    assert train(["--dataset", str(rows_file), *options]) == 0
    engine = json.loads((tmp_path / "run" / "run.json").read_text())["engine"]
    assert engine["name"] == "xla"
    assert reason in engine["reason"]


@pytest.mark.skipif(not visible_gpus(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_engine_trains_as_xla_does(precision, byte_rows):
    engines = [
        make_engine(
            TrainConfig(layers=(8,), batch_size=64, engine=name, precision=precision),
            Autoencoder(Stack.mirrored(36, (8,)), seed=1),
            len(byte_rows),
        )[0]
        for name in ("fused", "xla")
    ]
    assert isinstance(engines[0], GpuEngine)
    order = np.random.default_rng(0).permutation(len(byte_rows)).astype(np.int32)
    for _ in range(3):
        ours, theirs = (
            float(engine.train_epoch(tf.constant(byte_rows), tf.constant(order)))
            for engine in engines
        )
        assert ours == pytest.approx(theirs, rel=MIXED_LOSS_RTOL)


@pytest.mark.skipif(bool(visible_gpus()), reason="there is a GPU")
def test_the_op_is_built_and_finds_no_gpu():
    try:
        ops = load_op()
    except NoCompiler as error:
        pytest.skip(f"no op: {error}")
    with tf.device("CPU"), pytest.raises(tf.errors.OpError, match="Could not find device"):
        ops.tfae_gpu_train_epoch(
            rows=np.zeros((2, 3), np.uint8),
            order=[0, 1],
            center=[],
            width=[],
            rates=[1.0],
            decays=[],
            loss_scale=1.0,
            good_steps=0,
            skipped_steps=0,
            params=[np.zeros(shape, "f") for shape in ((3, 2), (2,), (2, 3), (3,))],
            slots=[],
            compute="bfloat16",
            activation=0,
            output_activation=6,
            loss=0,
            optimizer=3,
            constants=[],
            clip_norm=0.0,
            batch_size=2,
            cubin="",
            blocks=1,
            slice=16,
            slices=1,
            padded_hidden=16,
            chunk=16,
            shared_bytes=1,
            offsets=[0] * 9,
            spilled_bytes=0,
        )
