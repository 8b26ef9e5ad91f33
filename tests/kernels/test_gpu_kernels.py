"""The GPU's epoch kernel: its launch, its arithmetic as the processor runs it, its compilation."""

import ctypes
import fcntl
import json
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tolerances import MIXED_LOSS_RTOL

from benchmarks.gpu.checks import (
    H200,
    WITHOUT_CLUSTERS,
    equal,
    relative_errors,
    sparse_bytes,
    tolerance,
)
from benchmarks.gpu.host import Host, all_problems, build_host
from benchmarks.gpu.problem import Problem
from tfae.autoencoder import Autoencoder
from tfae.config import TrainConfig
from tfae.engines import make_engine
from tfae.engines.engine import NotTaken
from tfae.engines.gpu import GpuEngine
from tfae.host.environment import visible_gpus
from tfae.kernels.compiler import NoCompiler
from tfae.kernels.gpu.build import ARCHITECTURES, SOURCES, nvcc_command
from tfae.kernels.gpu.library import load_op
from tfae.kernels.gpu.plan import (
    LARGEST_BATCH,
    LARGEST_HIDDEN,
    Device,
    NoPlan,
    Settings,
    plan_launch,
)
from tfae.nn.spec import Stack
from tfae.train import main as train

ROOT = Path(__file__).parents[2]
DEVICES = {  # one of each compute capability, as the data sheets and the CUDA guide have them
    "A30, 8.0": Device(multiprocessors=56, shared_bytes=166912),
    "RTX 4060, 8.9": Device(multiprocessors=24, shared_bytes=101376),
    "H200, 9.0": H200,
    "B200, 10.0": Device(multiprocessors=148, shared_bytes=232448, largest_cluster=8),
}
PROBLEMS = all_problems()


@pytest.fixture(scope="module")
def host(cache_dir):
    """The kernels as the processor runs them, built once for all test processes."""
    with open(cache_dir / "host.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = cache_dir / "host.so"
        return Host(path if path.exists() else build_host(cache_dir))


def assert_right(problem, launched):
    loss, tensors, scale = launched
    expected = problem.reference()
    errors = relative_errors(problem, loss, tensors, expected)
    assert all(error < tolerance(problem) for error in errors.values()), errors  # NaN is not
    assert scale == expected[2]


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_epoch_is_that_of_float64(host, name):
    problem, device = PROBLEMS[name]
    assert_right(problem, host.launch(problem, problem.plan(device)))


@pytest.mark.parametrize("device", [H200, WITHOUT_CLUSTERS])
def test_an_epoch_of_the_tutorial_is_that_of_float64(host, device):
    problem = Problem(784, 32, 64, sparse_bytes(150, 784))
    assert_right(problem, host.launch(problem, problem.plan(device)))


def test_the_problems_go_each_way_through_the_kernel():
    plans = {name: problem.plan(device) for name, (problem, device) in PROBLEMS.items()}
    assert plans["in chunks"].chunk < PROBLEMS["in chunks"][0].batch
    assert plans["in slices"].slices > 1
    assert plans["in slices alone"].slices > 1
    assert plans["in slices alone"].chunk == PROBLEMS["in slices alone"][0].batch
    assert plans["in chunks and slices"].slices > 1
    assert plans["in chunks and slices"].chunk < PROBLEMS["in chunks and slices"][0].batch
    assert plans["wide slices"].slice > 16
    assert not plans["wide slices"].spills
    assert plans["weights off chip"].spills
    assert plans["weights off chip"].slices == 1
    skipped = [
        PROBLEMS[f"a loss scale that {what}"][0].reference()[2] for what in ("is too high", "grows")
    ]
    assert skipped[0][2] > PROBLEMS["a loss scale that is too high"][0].skipped_steps
    assert skipped[1][0] > 2.0**10


@pytest.mark.parametrize("device", [H200, WITHOUT_CLUSTERS])
def test_results_are_the_same_to_the_bit(host, device):
    problem = Problem(100, 16, 32, sparse_bytes(80, 100))
    assert equal(*(host.launch(problem, problem.plan(device)) for _ in range(2)))


@pytest.mark.parametrize("wait", ["Take(place, 1)", "TakeQuads<8>(place, 4, 2, 1, [](auto...) {})"])
def test_a_wait_that_is_bounded_stops_the_kernel(wait, tmp_path):
    """Nobody hands the numbers that it waits for."""
    main = f"int main() {{ float place[8] = {{}}; tfae::gpu::{wait}; }}"
    (tmp_path / "wait.cc").write_text(f'#include "exchange.h"\n{main}\n')
    flags = "-std=c++17", f"-I{SOURCES}", "-DTFAE_MOST_LOOKS=100"
    subprocess.run(["g++", *flags, "wait.cc", "-o", "wait"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "wait"], timeout=60).returncode == -signal.SIGABRT


def test_the_tutorials_weights_stay_on_chip_in_one_wave():
    plan = plan_launch(784, 32, 256, WITHOUT_CLUSTERS)
    assert (plan.blocks, plan.slice, plan.chunk) == (49, 16, 256)
    assert not plan.spills
    plan = plan_launch(784, 32, 256, H200)
    assert (plan.blocks, plan.cluster, plan.slice, plan.chunk) == (56, 7, 112, 32)


@pytest.mark.parametrize("features", [1, 15, 784, 4096, 60_000, 1_000_000])
@pytest.mark.parametrize("hidden", [1, 32, 256])
@pytest.mark.parametrize("batch", [1, 256, 4096])
@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_plan_covers_all_and_fits(features, hidden, batch, device):
    plan = plan_launch(features, hidden, batch, device)
    assert plan.blocks <= device.multiprocessors
    of_a_block, sharing = plan.slice * plan.slices, plan.blocks
    if plan.cluster > 1:
        sharing, clusters = plan.cluster, plan.blocks // plan.cluster
        assert (clusters - 1) * plan.chunk < batch <= clusters * plan.chunk
    assert (sharing - 1) * of_a_block < features <= sharing * of_a_block
    assert plan.shared_bytes <= device.shared_bytes
    assert plan.chunk % 16 == 0
    assert all(offset % 16 == 0 for offset in plan.offsets.values())


def test_a_batch_is_within_what_the_kernel_divides():
    assert LARGEST_BATCH * LARGEST_HIDDEN <= 2**20  # of Divisor in block.h


def test_a_plan_puts_off_chip_what_does_not_fit():
    assert not plan_launch(40, 16, 150, Device(3, 36 << 10)).spills
    assert plan_launch(100, 40, 100, Device(5, 46 << 10)).spills


def test_a_refusal_names_its_reason():
    with pytest.raises(NoPlan, match="257 units is more than 256"):
        plan_launch(784, 257, 256, H200)
    with pytest.raises(NoPlan, match="5000 rows is more than 4096"):
        plan_launch(784, 32, 5000, H200)
    with pytest.raises(NoPlan, match="more than 2147483647"):
        plan_launch(10_000_000, 256, 256, H200)
    with pytest.raises(NoPlan, match="not even 16 features a block fit in 8192 bytes"):
        plan_launch(784, 256, 256, Device(16, 8 << 10))


@pytest.mark.parametrize("capability", ["8.0", "9.0"])
def test_a_kernel_is_compiled_for_its_plan(capability, tmp_path):
    """Of the oldest devices, whose instructions are those that all have, and the first with
    clusters. Nothing spills, and it is small.
    """
    problem = Problem(784, 32, 256, sparse_bytes(1, 784))
    plan = problem.plan(H200 if capability == "9.0" else WITHOUT_CLUSTERS)
    try:
        command = nvcc_command(capability)
    except NoCompiler as error:
        pytest.skip(str(error))
    source, cubin = str(SOURCES / "epoch.cu"), tmp_path / "epoch.cubin"
    command = [*command, *problem.definitions(plan), "-Xptxas", "-v", source, "-o", str(cubin)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores, 0 bytes spill loads" in done.stderr
    assert cubin.stat().st_size < 100_000


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_nvcc_knows_each_kind_of_device(capability):
    try:
        command = nvcc_command(capability)
    except NoCompiler as error:
        pytest.skip(str(error))
    command = [*command, "--dryrun", str(SOURCES / "epoch.cu")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_arguments_are_laid_out_as_in_c():
    assert ctypes.sizeof(Settings) == 45 * 8 + (27 + 4 + 1) * 4  # the last is padding


@pytest.mark.parametrize(
    ("layers", "precision", "reason"),
    [((32,), "float32", "no float32 products"), ((64, 32), "mixed_bfloat16", "one hidden layer")],
)
def test_an_engine_refuses_what_no_gpu_would_take(layers, precision, reason):
    with pytest.raises(NotTaken, match=reason):
        GpuEngine.check(Stack.mirrored(784, layers), precision)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "no float32 products"),
        ({"precision": "mixed_bfloat16", "layers": (8, 4)}, "one hidden layer"),
        ({"precision": "mixed_bfloat16"}, "has not been measured"),
    ],
)
def test_xla_is_taken_on_a_gpu_for_a_reason(settings, reason, monkeypatch):
    monkeypatch.setattr("tfae.engines.choice.visible_gpus", lambda: ["a GPU"])
    config = TrainConfig(**settings)
    engine, why = make_engine(config, Autoencoder(Stack.mirrored(36, config.layers)).network, 600)
    assert engine.name == "xla"
    assert reason in why


def test_a_run_on_a_gpu_leaves_the_reason(rows_file, tmp_path, monkeypatch):
    monkeypatch.setattr("tfae.engines.choice.visible_gpus", lambda: ["a GPU"])
    options = ["--epochs", "1", "--quiet", "--workdir", f"{tmp_path}/run"]
    assert train(["--dataset", str(rows_file), *options]) == 0
    engine = json.loads((tmp_path / "run" / "run.json").read_text())["engine"]
    assert engine["name"] == "xla"
    assert "no float32 products" in engine["reason"]


@pytest.mark.skipif(not visible_gpus(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_engine_trains_as_xla_does(precision, byte_rows):
    engines = [
        make_engine(
            TrainConfig(layers=(8,), batch_size=64, engine=name, precision=precision),
            Autoencoder(Stack.mirrored(36, (8,)), seed=1).network,
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
            work=[3, 2, 2, 0, 6, 0, 3, 0],
            constants=[],
            clip_norm=0.0,
            cubin="",
            **plan_launch(3, 2, 2, H200).arguments(),
        )
