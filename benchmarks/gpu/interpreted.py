"""Check the GPU's epoch kernel without a GPU: an interpreter runs the PTX that nvcc makes of it.

Each problem runs twice, with warps in other turns, and has to come out the same to the bit, and as
float64 numpy has it. `benchmarks.gpu.ptx` says what else is found.
"""

import itertools
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.gpu.checks import check, small_problems
from benchmarks.gpu.ptx import Fault, Interpreter, kernels_of
from tfae.config import Parser
from tfae.errors import TrainingError
from tfae.kernels.compiler import KernelError
from tfae.kernels.gpu.build import build_kernels, nvcc_command

CAPABILITY = "9.0"
QUICK = "odd sizes", "a loss scale that grows"


def main(argv=None):
    """Run the benchmark; exit status 1 where something is wrong."""
    description = __doc__.splitlines()[0]
    parser = Parser("python -m benchmarks.gpu.interpreted", description=description)
    parser.add_argument(
        "--quick", action="store_true", help="two problems, done in a minute or two"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = harness.parse(parser, argv)
    try:
        ptx = build_kernels(CAPABILITY, print, "ptx").read_text()
        nvcc = _version(nvcc_command(CAPABILITY)[0])
        kernels = kernels_of(ptx)
    except KernelError as error:
        raise TrainingError(str(error)) from None
    except Fault as fault:
        raise TrainingError(f"{fault}, which nvcc {nvcc} uses: CUDA 13.0's is known") from None
    problems = small_problems()
    names = QUICK if options.quick else [*problems]
    long = "" if options.quick else ", which takes half an hour"
    print(f"{len(names)} problems, each run twice{long}", flush=True)
    checks = [_checked(name, *problems[name], kernels) for name in names]
    print(f"{sum(made['right'] for made in checks)} of {len(checks)} are right")
    if options.json:
        environment = {
            "nvcc": nvcc,
            "compute_capability": CAPABILITY,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }
        document = {"command": options.command, "environment": environment, "checks": checks}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
        print(f"wrote {options.json}")
    if not all(made["right"] for made in checks):
        sys.exit(1)


def _checked(name, problem, device, kernels):
    plan, seeds = problem.plan(device), itertools.count()
    try:
        return check(name, problem, plan, lambda: interpret(problem, plan, kernels, next(seeds)))
    except Fault as fault:
        print(f"WRONG  {name}: {fault}", flush=True)
        return {"name": name, "fault": str(fault), "right": False}


def interpret(problem, plan, kernels, seed):
    """What `Problem.launch` returns.

    Args:
        problem: The `Problem`.
        plan: The `Plan`.
        kernels: The `Kernel`s by name.
        seed: Of the interpreter's chances.

    Raises:
        Fault: The kernel did what it must not.
    """
    interpreter = Interpreter(seed)

    def launch(name, settings):
        interpreter.launch(kernels[name], settings, plan.blocks, plan.shared_bytes)

    return problem.launch(plan, interpreter, launch)


def _version(nvcc):
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    return said.partition("release ")[2].partition(",")[0]


if __name__ == "__main__":
    harness.run(main)
