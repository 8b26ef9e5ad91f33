"""Check the GPU's epoch kernels without a GPU, a thread of the processor for each of their blocks.

python -m benchmarks.gpu.host

It cannot show what the threads of one block do together. With --sanitize thread, ThreadSanitizer
watches what blocks hand to each other.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.gpu.checks import WITHOUT_CLUSTERS, check, small_problems
from tfae.config import Parser
from tfae.errors import TrainingError
from tfae.kernels.gpu.build import SOURCES

FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")
LIBRARIES = {"thread": "libtsan.so", "address": "libasan.so"}  # loaded before all others
QUICK = ("adadelta, bfloat16", "clipped, float16", "a loss scale that is too high", "odd sizes")


class HostMemory:
    """numpy's arrays as a device's memory."""

    put = staticmethod(np.copy)
    get = staticmethod(np.asarray)

    @staticmethod
    def address(array):
        """Where an array lies."""
        return array.ctypes.data


class Host:
    """The kernels, compiled for the processor.

    Args:
        path: Of the library, as `build_host` makes it.
    """

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))

    def launch(self, problem, plan):
        """What `Problem.launch` returns."""

        kernel = getattr(self._library, f"tfae_epoch_{problem.half}_{problem.rows.dtype.name}")

        def run(settings):
            kernel(ctypes.byref(settings), plan.shared_bytes)

        return problem.launch(plan, HostMemory, run)


def build_host(directory, *flags):
    """Compile the library with these further flags; its path in the directory."""
    path = Path(directory) / "host.so"
    command = ["g++", *FLAGS, *flags, str(SOURCES / "host.cc"), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise TrainingError(f"g++ failed: {done.stderr.splitlines()[0]}")
    return path


def all_problems():
    """By name, (problem, device): those of `small_problems`, where it can be with and without
    clusters.
    """
    problems = small_problems()
    flat = {
        f"{name}, no clusters": (problem, WITHOUT_CLUSTERS)
        for name, (problem, device) in problems.items()
        if problem.plan(device).cluster > 1
    }
    return problems | flat


def main(argv=None):
    """Run the checks; exit status 1 where something is wrong, 66 where a sanitizer complains."""
    parser = Parser("python -m benchmarks.gpu.host", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few of the problems")
    parser.add_argument("--sanitize", choices=LIBRARIES, help="have a sanitizer watch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the checks there")
    options = harness.parse(parser, argv)
    if options.sanitize and LIBRARIES[options.sanitize] not in os.environ.get("LD_PRELOAD", ""):
        sys.exit(_again_with(options.sanitize, sys.argv[1:] if argv is None else argv))
    problems = all_problems()
    if options.quick:
        problems = {name: of for name, of in problems.items() if name.startswith(QUICK)}
    flags = (f"-fsanitize={options.sanitize}",) if options.sanitize else ()
    with tempfile.TemporaryDirectory() as directory:
        host = Host(build_host(directory, *flags))
        made = []
        for name, (problem, device) in problems.items():
            plan = problem.plan(device)
            made.append(check(name, problem, plan, partial(host.launch, problem, plan)))
    if options.json:
        options.json.write_text(json.dumps({"command": options.command, "checks": made}, indent=1))
    print(f"{sum(each['right'] for each in made)} of {len(made)} are right")
    if not all(each["right"] for each in made):
        sys.exit(1)


def _again_with(sanitizer, arguments):
    """The exit status of the same command with the sanitizer's library loaded before Python's."""
    library = subprocess.run(
        ["g++", f"-print-file-name={LIBRARIES[sanitizer]}"], capture_output=True, text=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "benchmarks.gpu.host", *arguments]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    harness.run(main)
