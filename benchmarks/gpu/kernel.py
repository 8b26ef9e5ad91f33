"""Check and time the GPU's epoch kernel without TensorFlow: python -m benchmarks.gpu.kernel.

It needs CuPy, which holds the memory and the events, ml_dtypes, and a cubin, which is compiled
where nvcc is at hand or given with --cubin.
"""

import json
import platform
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.gpu.checks import check, equal, sparse_bytes
from benchmarks.gpu.driver import Module
from benchmarks.gpu.problem import Problem
from tfae.config import Parser
from tfae.errors import TrainingError
from tfae.kernels.compiler import KernelError
from tfae.kernels.gpu.build import build_kernels
from tfae.kernels.gpu.plan import Device, largest_cluster

WARM_UP, REPEATS = 3, 30
EPOCHS_AT_ONCE = 10  # between two events: what a launch costs the host does not count


class DeviceMemory:
    """CuPy's arrays.

    Args:
        cupy: The module.
    """

    def __init__(self, cupy):
        self.put, self.get = cupy.asarray, cupy.asnumpy

    @staticmethod
    def address(array):
        """Where an array lies."""
        return array.data.ptr


def main(argv=None):
    """Run the benchmark; exit status 1 where something is wrong."""
    parser = Parser("python -m benchmarks.gpu.kernel", description=__doc__)
    parser.add_argument("--cubin", type=Path, help="compiled before, for this device")
    parser.add_argument(
        "--most-looks",
        type=int,
        default=0,
        metavar="N",
        help="stop a kernel in which a block looked so often in vain; needs nvcc (default: never)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer checks and repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = harness.parse(parser, argv)
    try:
        import cupy
    except ImportError:
        raise TrainingError(
            "CuPy is not installed: pip install cupy-cuda13x (or -cuda12x)"
        ) from None
    cupy.cuda.Device(0).use()
    cupy.zeros(1)  # makes the context that the driver is called in
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    limits = properties["multiProcessorCount"], properties["sharedMemPerBlockOptin"]
    device = Device(*limits, largest_cluster(properties["major"]))
    capability = f"{properties['major']}.{properties['minor']}"
    environment = {
        "device": properties["name"].decode(),
        "compute_capability": capability,
        "multiprocessors": device.multiprocessors,
        "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
        "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    print(f"{environment['device']}, compute capability {capability}, {device}")
    try:
        cubin = options.cubin or build_kernels(capability, print, options.most_looks)
    except KernelError as error:
        raise TrainingError(f"{error}; or give --cubin") from None
    module = Module(cubin.read_bytes())
    document = {"command": options.command, "environment": environment}
    document |= {"checks": [], "results": []}

    def keep(kind, made):
        """Write at once: what comes later may end the process."""
        document[kind].append(made)
        if options.json:
            options.json.write_text(json.dumps(document, indent=1) + "\n")

    for made in check_all(cupy, module, device, options.quick):
        keep("checks", made)
    repeats = 3 if options.quick else REPEATS
    keep("checks", repeat_epochs(cupy, module, device, repeats))
    keep("results", time_epochs(cupy, module, device, 5 if options.quick else REPEATS))
    if options.json:
        print(f"wrote {options.json}")
    if not all(made["right"] for made in document["checks"]):
        sys.exit(1)


def _problems(quick):
    """By name, what is checked; of several steps, the last of them shorter."""
    tutorial = {"features": 784, "hidden": 32, "batch": 256}
    yield "a step", Problem(**tutorial, rows=sparse_bytes(256, 784))
    yield "an epoch", Problem(**tutorial, rows=sparse_bytes(2000, 784))
    if quick:
        return
    rows = sparse_bytes(600, 784)
    for optimizer in ("adam", "momentum", "sgd"):
        yield optimizer, Problem(**tutorial, rows=rows, optimizer=optimizer)
    yield "float16", Problem(**tutorial, rows=rows, half="float16", optimizer="sgd")
    skips = Problem(784, 32, 64, rows, "float16", "adam", loss_scale=2.0**33)
    yield "float16, whose first steps are skipped", skips
    yield "odd sizes", Problem(77, 19, 50, sparse_bytes(333, 77))
    yield "a wide layer", Problem(784, 256, 1024, sparse_bytes(2500, 784), optimizer="sgd")
    rows = sparse_bytes(1200, 1000).astype("f") / 255
    yield "float32 rows", Problem(1000, 64, 512, rows, optimizer="sgd", clip_norm=1e-3)
    for name, features in (("weights off chip", 9000), ("several slices a block", 40_000)):
        yield name, Problem(features, 256, 64, sparse_bytes(150, features), optimizer="sgd")


def check_all(cupy, module, device, quick=False):
    """Compare with float64 numpy; yield what it came to."""
    memory = DeviceMemory(cupy)
    for name, problem in _problems(quick):
        plan = problem.plan(device)
        launch = partial(problem.launch, plan, memory, _waiting(cupy, module, plan))
        yield check(name, problem, plan, launch)


def _waiting(cupy, module, plan):
    """Launches a kernel and waits for it: (name, settings)."""

    def run(kernel, settings):
        module.launch(kernel, settings, plan)
        cupy.cuda.runtime.deviceSynchronize()

    return run


def repeat_epochs(cupy, module, device, repeats):
    """Whether epochs of 60,000 rows give the same each time: of a race one in many steps shows."""
    problem = Problem(784, 32, 256, sparse_bytes(60_000, 784))
    plan, memory = problem.plan(device), DeviceMemory(cupy)
    run = _waiting(cupy, module, plan)
    first, *others = (problem.launch(plan, memory, run) for _ in range(repeats))
    same = np.isfinite(first[0]) and all(equal(first, other) for other in others)
    print(f"{'right' if same else 'WRONG'}  {repeats} epochs of {problem.steps} steps are the same")
    return {"name": f"{repeats} times the same epoch", "same": bool(same), "right": bool(same)}


def time_epochs(cupy, module, device, repeats):
    """Print, and return, the time of an epoch of 60,000 rows beside the arithmetic floor."""
    rate = _matmul_rate(cupy)
    problem = Problem(784, 32, 256, sparse_bytes(60_000, 784))
    plan, memory = problem.plan(device), DeviceMemory(cupy)
    milliseconds = []

    def run(kernel, settings):
        # An epoch leaves the numbers that blocks hand to each other as the next one wants them; but
        # where gradients are clipped or scaled, their squares would have to be cleared.
        for repeat in range(WARM_UP + repeats):
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            for _ in range(EPOCHS_AT_ONCE):
                module.launch(kernel, settings, plan, cupy.cuda.get_current_stream().ptr)
            end.record()
            end.synchronize()
            if repeat >= WARM_UP:
                milliseconds.append(cupy.cuda.get_elapsed_time(begin, end) / EPOCHS_AT_ONCE)

    problem.launch(plan, memory, run)
    epoch_ms, floor_ms = harness.spread(milliseconds), 5 * 2 * 60_000 * 784 * 32 / rate * 1e3
    print(
        f"784-32-784, batches of 256, bfloat16: {epoch_ms['median']:.3f} ms an epoch of 60,000 "
        f"rows ({epoch_ms['min']:.3f} to {epoch_ms['max']:.3f}, {repeats} times {EPOCHS_AT_ONCE}), "
        f"{epoch_ms['median'] * 1e3 / problem.steps:.2f} us a step; its products alone at the "
        f"{rate / 1e12:.0f} TFLOP/s of a large one in float16: {floor_ms:.3f} ms, of which that is "
        f"{epoch_ms['median'] / floor_ms:.0f} times as much"
    )
    return {
        "name": "the epoch kernel, 784-32-784, adadelta, batches of 256, 60,000 rows",
        "precision": "mixed_bfloat16",
        "epoch_ms": epoch_ms,
        "floor_ms": floor_ms,
        "floors": epoch_ms["median"] / floor_ms,
        "flop_per_s": rate,
    }


def _matmul_rate(cupy, size=8192):
    """FLOP/s of a large product of float16: CuPy has no bfloat16, which is as fast."""
    a, b = (cupy.random.standard_normal((size, size), "f").astype("f2") for _ in range(2))
    times = []
    for _ in range(8):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        a @ b
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(begin, end))
    return 2 * size**3 / (np.median(times[3:]) / 1e3)


if __name__ == "__main__":
    harness.run(main)
