"""Check and time the GPU's epoch kernels without TensorFlow: python -m benchmarks.gpu.kernel.

It needs CuPy, which holds the memory and the events, ml_dtypes and nvcc. With --rehearse the
processor takes the GPU's place, to see that all of it runs.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.gpu.checks import check, equal, sparse_bytes
from benchmarks.gpu.device import EPOCHS_AT_ONCE, Gpu, StandIn
from benchmarks.gpu.problem import Problem
from tfae.config import Parser

REPEATS = 30
TUTORIAL = {"features": 784, "hidden": 32, "batch": 256}


def main(argv=None):
    """Run the benchmark; exit status 1 where something is wrong."""
    parser = Parser("python -m benchmarks.gpu.kernel", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer checks and repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--most-looks",
        type=harness.positive,
        default=0,
        metavar="N",
        help="stop a kernel in which a block looked so often in vain (default: never)",
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="on the processor, with few rows; implies --quick"
    )
    options = harness.parse(parser, argv)
    quick = options.quick or options.rehearse
    gpu = (StandIn if options.rehearse else Gpu)(options.most_looks)
    rows = 1000 if options.rehearse else 60_000
    print(f"{gpu.environment['device']}, {gpu.device}")
    document = {"command": options.command, "environment": gpu.environment}
    document |= {"checks": [], "results": []}

    def keep(kind, made):
        """Write at once: what comes later may end the process."""
        document[kind].append(made)
        if options.json:
            options.json.write_text(json.dumps(document, indent=1) + "\n")

    for name, problem in _problems(quick):
        plan = problem.plan(gpu.device)
        keep("checks", check(name, problem, plan, partial(gpu.launch, problem, plan)))
    repeats = 3 if quick else REPEATS
    for plan in _plans(gpu.device):
        keep("checks", repeat_epochs(gpu, plan, rows, repeats))
        keep("results", time_epochs(gpu, plan, rows, repeats))
    if options.json:
        print(f"wrote {options.json}")
    if not all(made["right"] for made in document["checks"]):
        sys.exit(1)


def _plans(device):
    """The tutorial's, with clusters where the device has them, and without."""
    problem = Problem(**TUTORIAL, rows=sparse_bytes(1, 784))
    clustered, flat = problem.plan(device), problem.plan(replace(device, largest_cluster=1))
    return [clustered, flat] if clustered.cluster > 1 else [flat]


def _problems(quick):
    """By name, what is checked; of several steps, the last of them shorter."""
    yield "a step", Problem(**TUTORIAL, rows=sparse_bytes(256, 784))
    yield "an epoch", Problem(**TUTORIAL, rows=sparse_bytes(2000, 784))
    if quick:
        return
    rows = sparse_bytes(600, 784)
    for optimizer in ("adam", "momentum", "sgd"):
        yield optimizer, Problem(**TUTORIAL, rows=rows, optimizer=optimizer)
    yield "float16", Problem(**TUTORIAL, rows=rows, half="float16", optimizer="sgd")
    skips = Problem(784, 32, 64, rows, "float16", "adam", loss_scale=2.0**33)
    yield "float16, whose first steps are skipped", skips
    yield "odd sizes", Problem(77, 19, 50, sparse_bytes(333, 77))
    yield "a wide layer", Problem(784, 256, 1024, sparse_bytes(2500, 784), optimizer="sgd")
    rows = sparse_bytes(1200, 1000).astype("f") / 255
    yield "float32 rows", Problem(1000, 64, 512, rows, optimizer="sgd", clip_norm=1e-3)
    for name, features in (("weights off chip", 9000), ("several slices a block", 40_000)):
        yield name, Problem(features, 256, 64, sparse_bytes(150, features), optimizer="sgd")


def repeat_epochs(gpu, plan, rows, repeats):
    """Whether epochs give the same each time: of a race one in many steps shows."""
    problem = Problem(**TUTORIAL, rows=sparse_bytes(rows, 784))
    first, *others = (gpu.launch(problem, plan) for _ in range(repeats))
    same = np.isfinite(first[0]) and all(equal(first, other) for other in others)
    name = f"{repeats} times the same epoch of {problem.steps} steps, {_described(plan)}"
    print(f"{'right' if same else 'WRONG'}  {name}", flush=True)
    return {"name": name, "same": bool(same), "right": bool(same)}


def time_epochs(gpu, plan, rows, repeats):
    """Print, and return, the time of an epoch beside the arithmetic floor."""
    problem = Problem(**TUTORIAL, rows=sparse_bytes(rows, 784))
    gpu.epoch_ms(problem, plan, 1)  # warms up
    epoch_ms = harness.spread(gpu.epoch_ms(problem, plan, repeats))
    rate = gpu.matmul_flop_per_s
    floor_ms = 5 * 2 * rows * 784 * 32 / rate * 1e3
    name = f"784-32-784, adadelta, batches of 256, {rows:,} rows, {_described(plan)}"
    print(
        f"{name}, bfloat16: {epoch_ms['median']:.3f} ms an epoch ({epoch_ms['min']:.3f} to "
        f"{epoch_ms['max']:.3f}, {repeats} times {EPOCHS_AT_ONCE}), "
        f"{epoch_ms['median'] * 1e3 / problem.steps:.2f} us a step; its products alone at the "
        f"{rate / 1e12:.0f} TFLOP/s of a large one in float16: {floor_ms:.3f} ms",
        flush=True,
    )
    return {
        "name": name,
        "precision": "mixed_bfloat16",
        "epoch_ms": epoch_ms,
        "floor_ms": floor_ms,
        "floors": epoch_ms["median"] / floor_ms,
        "flop_per_s": rate,
    }


def _described(plan):
    if plan.cluster == 1:
        return f"{plan.blocks} blocks"
    return f"{plan.blocks // plan.cluster} clusters of {plan.cluster} blocks"


if __name__ == "__main__":
    harness.run(main)
