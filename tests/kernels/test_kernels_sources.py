"""The sources by themselves, under the sanitizers and with other vectors than this machine's."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tfae.kernels.build import SOURCES

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


def instructions():
    """Extensions of this processor's instructions that the sources know."""
    info = Path("/proc/cpuinfo")
    flags = re.search(r"^flags.*", info.read_text(), re.MULTILINE) if info.exists() else None
    known = {"avx2": "avx2", "avx512dq": "avx512dq", "avx512_vbmi2": "avx512vbmi2"}
    return [known[flag] for flag in (flags[0].split() if flags else ()) if flag in known]


def test_builds_for_other_instructions_agree(tmp_path):
    """Without each extension, and with the narrowest vectors."""
    plain = driver_output(tmp_path, "-march=native")
    assert plain.count("\n") == 21
    others = [("-march=native", f"-mno-{extension}") for extension in instructions()]
    for flags in (("-DTFAE_LANES=4",), *others):
        assert driver_output(tmp_path, *flags) == plain, flags


@pytest.mark.parametrize(
    "flags",
    [
        ("-fsanitize=thread",),
        # Undefined behaviour traps: saying which it was takes as long again to compile.
        ("-fsanitize-undefined-trap-on-error", "-fsanitize=address,undefined"),
    ],
    ids=lambda flags: flags[-1],
)
def test_no_sanitizer_complains(flags, tmp_path):
    assert driver_output(tmp_path, "-march=native", *flags).count("\n") == 21
