"""Build the native kernels with the machine's own compiler, once, into the cache."""

import os
import platform
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from tfae.host.environment import processor_flags
from tfae.kernels.compiler import CacheUnusable, NoCompiler, build_once, cached_path

SOURCES = Path(__file__).parent / "src"
COMPILERS = ("c++", "g++", "clang++")
# No fast-math: results would not be those of the formulas. Traps and errno are only in the way.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-w")


@dataclass(frozen=True)
class Build:
    """A build of the kernels.

    Attributes:
        path: The shared library.
        compiler: Its path, and the arguments that it always has.
        flags: All that it was given.
        seconds: How long it took; 0.0 where it lay in the cache.
    """

    path: Path
    compiler: str
    flags: tuple[str, ...]
    seconds: float


def build(say=lambda line: None):
    """The kernels for this processor and this TensorFlow, from the cache where they lie there.

    Processes that start together wait for the first one's build.

    Args:
        say: Called with a line before something that takes long.

    Returns:
        The `Build`.

    Raises:
        KernelError: There is no compiler, it failed, or the cache cannot be written.
    """
    compiler, flags, path = _plan()
    seconds = build_once(
        (*compiler, *flags),
        sorted(SOURCES.glob("*.cc")),
        path,
        "the fused kernels for this processor",
        say,
        tf.sysconfig.get_link_flags(),
    )
    return Build(path, shlex.join(compiler), flags, seconds)


def find():
    """The path of the kernels where they have been built, else None.

    Raises:
        KernelError: There is no compiler, without which it is not known what was built, or the
            cache cannot be read.
    """
    path = _plan()[-1]
    try:
        return path if path.exists() else None
    except OSError as error:
        raise CacheUnusable(path.parent, error) from None


def _plan():
    """The compiler, its flags, and where what it makes of the sources lies."""
    compiler = compiler_command()
    flags = (*FLAGS, _processor_flag(), *tf.sysconfig.get_compile_flags())
    # Wherever this TensorFlow lies: another environment may have the same. And for the instructions
    # that there are: the cache may lie on a disk that machines share.
    plain = [flag for flag in flags if not flag.startswith("-I")]
    of = (tf.version.VERSION, processor_flags() or platform.processor(), *plain)
    return compiler, flags, cached_path("fused", ".so", SOURCES, compiler, of)


def compiler_command():
    """The C++ compiler's path, and the arguments that CXX gives it.

    Raises:
        NoCompiler: There is none, or not the one that CXX names.
    """
    if given := os.environ.get("CXX"):
        name, *arguments = shlex.split(given)
        if found := shutil.which(name):
            return found, *arguments
        raise NoCompiler(f"the compiler that CXX names, {given}, is not there")
    for name in COMPILERS:
        if found := shutil.which(name):
            return (found,)
    raise NoCompiler("there is no C++ compiler (install g++ or clang, or set CXX)")


def _processor_flag():
    return "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"
