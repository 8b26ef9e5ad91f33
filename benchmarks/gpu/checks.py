"""What the GPU's epoch kernel is checked on, and against: float64 numpy, and itself."""

from dataclasses import replace
from itertools import chain

import numpy as np

from benchmarks.gpu.problem import SLOTS, Problem
from tfae.kernels.gpu.plan import Device
from tfae.nn.spec import ACTIVATIONS

H200 = Device(multiprocessors=132, shared_bytes=232448, largest_cluster=8)
WITHOUT_CLUSTERS = replace(H200, largest_cluster=1)
# Where inputs are rounded alike, what is left are float32's sums, and the few numbers that they
# carry over the middle between two halves, which are 2^-9 apart.
STEP_RTOL = 1e-3
# An epoch carries those on.
EPOCH_RTOL = 1e-2


def sparse_bytes(count, features, seed=0):
    """Rows [N, D] uint8 of which four fifths are zero, as MNIST's."""
    rng = np.random.default_rng(seed)
    kept = rng.random((count, features)) < 0.19
    return (rng.integers(1, 256, kept.shape) * kept).astype(np.uint8)


def small_problems():
    """By name, (problem, device): each way through the kernel, none of them long."""
    step = Problem(50, 12, 40, sparse_bytes(40, 50))
    scaled = {"half": "float16", "optimizer": "adam"}
    rows, floats = sparse_bytes(100, 50), sparse_bytes(40, 50).astype("f") / 255

    def change(**settings):
        return Problem(**{"features": 50, "hidden": 12, "batch": 40, "rows": step.rows, **settings})

    standardised = {
        "rows": np.random.default_rng(1).normal(5, 3, (40, 50)).astype("f"),
        "center": np.full(50, 5, "f"),
        "width": np.full(50, 3, "f"),
    }
    of_few_rows = {
        "rows": sparse_bytes(100, 20),
        "features": 20,
        "hidden": 4,
        "batch": 16,
        **scaled,
    }
    wide_batch = Problem(40, 16, 150, sparse_bytes(320, 40), clip_norm=1e-3, **scaled)
    problems = {
        **{
            f"{name}, {half}": change(optimizer=name, half=half)
            for name in ("adadelta", "adam", "momentum", "sgd")
            for half in ("bfloat16", "float16")
        },
        **{
            name: change(optimizer="sgd", loss="mse", activation=name, output_activation=name)
            for name in ACTIVATIONS
        },
        "absolute errors, decay": change(optimizer="sgd", loss="mae", decay=0.01),
        "Huber's loss of standardised rows": change(
            loss="huber", output_activation="linear", optimizer="momentum", **standardised
        ),
        "float rows": change(rows=floats, optimizer="sgd"),
        "float rows, float16": change(rows=floats, half="float16", optimizer="sgd"),
        "clipped": change(rows=rows, clip_norm=1e-4),
        "clipped, float16": change(rows=rows, clip_norm=1e-4, half="float16", optimizer="sgd"),
        "nothing to clip": change(clip_norm=1e4),
        "a loss scale that is too high": Problem(
            **of_few_rows, loss_scale=2.0**25, good_steps=1999
        ),
        "a loss scale that grows": Problem(**of_few_rows, loss_scale=2.0**10, good_steps=1998),
        "one of everything": Problem(1, 1, 1, sparse_bytes(3, 1)),
        "fewer rows than a batch": Problem(20, 4, 64, sparse_bytes(30, 20)),
        "odd sizes": Problem(17, 33, 24, sparse_bytes(50, 17)),
        "many tiles of rows": Problem(20, 4, 300, sparse_bytes(330, 20)),
        "a wide layer": Problem(32, 256, 64, sparse_bytes(150, 32)),
        "many blocks": Problem(1100, 16, 32, sparse_bytes(70, 1100)),
        "more blocks than shares": Problem(1100, 4, 1, sparse_bytes(3, 1100)),
        "784-32-784": Problem(784, 32, 256, sparse_bytes(400, 784)),
    }
    return {name: (problem, H200) for name, problem in problems.items()} | {
        "wide slices": (Problem(100, 20, 40, sparse_bytes(90, 100)), Device(3, 232448)),
        "weights off chip": (Problem(100, 40, 100, sparse_bytes(230, 100)), Device(5, 46 << 10)),
        "in chunks": (wide_batch, Device(3, 36 << 10)),
        "in slices": (wide_batch, Device(1, 26 << 10)),
        "in slices alone": (Problem(200, 12, 32, sparse_bytes(80, 200)), Device(2, 20 << 10)),
        "in chunks and slices": (
            Problem(201, 17, 100, sparse_bytes(230, 201)),
            Device(3, 30 << 10),
        ),
    }


def check(name, problem, plan, launch):
    """Launch a problem twice and compare with float64 numpy; print a line, return what it came to.

    Args:
        name: The problem's, for a person.
        problem: The `Problem`.
        plan: The `Plan`.
        launch: () -> what `Problem.launch` returns.
    """
    launched, rtol = launch(), tolerance(problem)
    same = equal(launched, launch())
    expected = problem.reference()
    errors = relative_errors(problem, *launched[:2], expected)
    worst = max(errors, key=lambda key: np.nan_to_num(errors[key], nan=np.inf))
    right = errors[worst] < rtol and same and launched[2] == expected[2]  # the loss scale
    print(
        f"{'right' if right else 'WRONG'}  {name}: {worst} off by {errors[worst]:.1e} "
        f"(allowed {rtol:.0e}), {'the same' if same else 'NOT THE SAME'} twice; "
        f"{plan.blocks} blocks of {plan.slices} x {plan.slice}, {plan.shared_bytes >> 10} KiB"
        f"{', off chip' if plan.spills else ''}",
        flush=True,
    )
    error = float(errors[worst])
    return {"name": name, "error": error, "tolerance": rtol, "same": same, "right": bool(right)}


def tolerance(problem):
    """How far a launch may be from float64's."""
    return STEP_RTOL if problem.steps == 1 else EPOCH_RTOL


def equal(launched, others):
    """Whether two launches gave the same to the bit."""
    arrays = zip(chain(*launched[1]), chain(*others[1]), strict=True)
    return bool(launched[0] == others[0]) and all(np.array_equal(a, b) for a, b in arrays)


def relative_errors(problem, loss, tensors, reference):
    """How far a launch is from the reference: of the loss, and of each tensor's change.

    Args:
        problem: The `Problem`.
        loss, tensors: The first two from `launch`.
        reference: From `reference`.
    """
    errors = {"loss": abs(loss - reference[0]) / reference[0]}
    names = ("kernel", "bias", "out_kernel", "out_bias")
    kinds = ("value", "first slot", "second slot")[: 1 + SLOTS[problem.optimizer]]
    for kind, before, after, right in zip(
        kinds, problem.tensors, tensors, reference[1], strict=False
    ):
        for name, b, a, r in zip(names, before, after, right, strict=True):
            change = np.asarray(r, np.float64) - b
            size = max(np.linalg.norm(change), np.finfo("f").tiny)  # a dead unit changes nothing
            errors[f"{kind} of {name}"] = np.linalg.norm(a - b - change) / size
    return errors
