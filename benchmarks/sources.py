"""The CPU kernels' sources by themselves: with other vectors than this machine's, under sanitizers.

A driver without TensorFlow takes the sources through every way that an epoch can go and prints what
comes out. What it prints must not depend on the instructions that it was compiled for, and no
sanitizer may complain. Each build takes a compiler some seconds; the tests make three of them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tfae.host.environment import processor_flags
from tfae.kernels.build import SOURCES, compiler_command

DRIVER = Path(__file__).parent / "sources_driver.cc"
RESULTS = 21  # lines that the driver prints
# GCC's and Clang's names of the extensions of a processor that the sources know.
EXTENSIONS = {"avx2": "avx2", "avx512dq": "avx512dq", "avx512_vbmi2": "avx512vbmi2"}
SANITIZERS = {
    "thread": ("-fsanitize=thread",),
    # Undefined behaviour traps: saying which it was takes as long again to compile.
    "address,undefined": ("-fsanitize-undefined-trap-on-error", "-fsanitize=address,undefined"),
}


class Absent(Exception):
    """The compiler has no such sanitizer."""


def results(*flags):
    """What the driver prints, built for this machine with these flags besides.

    Raises:
        Absent: The sanitizer asked for is not installed.
        NoCompiler: There is no compiler.
        RuntimeError: It does not compile, or ends otherwise than with 0 and all its lines.
    """
    with tempfile.TemporaryDirectory() as directory:
        program = f"{directory}/driver"
        command = [*compiler_command(), "-std=c++17", "-w", "-pthread", "-march=native"]
        command += [f"-I{SOURCES}", *flags, str(DRIVER), "-o", program]
        done = subprocess.run(command, capture_output=True, text=True)
        if "cannot find -l" in done.stderr:
            raise Absent(done.stderr.splitlines()[0])
        if done.returncode == 0:
            done = subprocess.run([program], capture_output=True, text=True)
    if done.returncode or done.stdout.count("\n") != RESULTS:
        raise RuntimeError(f"{' '.join(flags)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def other_instructions():
    """Flags of the narrowest vectors, and for leaving out each extension that is here."""
    flags = processor_flags().split()
    here = [extension for flag, extension in EXTENSIONS.items() if flag in flags]
    return [("-DTFAE_LANES=4",), *((f"-mno-{extension}",) for extension in here)]


def main():
    """Print a line for each build; exit status 1 where one is wrong."""
    expected, wrong = results(), False
    for flags in (*other_instructions(), *SANITIZERS.values()):
        try:
            verdict = "agrees" if results(*flags) == expected else "WRONG: other numbers"
        except Absent as error:
            verdict = f"left out: {error}"
        except RuntimeError as error:
            verdict = f"WRONG: {error}"
        wrong |= verdict.startswith("WRONG")
        print(f"{' '.join(flags)}: {verdict}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
