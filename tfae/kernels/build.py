"""Build the native kernels with the machine's own compiler, once, into the cache."""

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from tfae.cache import cache_dir
from tfae.errors import TfaeError

SOURCES = Path(__file__).parent / "src"
COMPILERS = ("c++", "g++", "clang++")
# No fast-math: results would not be those of the formulas. Traps and errno are only in the way.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-w")
TIMEOUT_S = 300


class KernelError(TfaeError):
    """Why there are no native kernels, in one line."""


class NoCompiler(KernelError):
    """This machine has no C++ compiler."""


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
    directory, libraries = path.parent, tf.sysconfig.get_link_flags()
    try:
        if path.exists():
            return Build(path, shlex.join(compiler), flags, 0.0)
        directory.mkdir(parents=True, exist_ok=True)
        with _lock(path.with_suffix(".lock")):
            if path.exists():  # another process was first
                return Build(path, shlex.join(compiler), flags, 0.0)
            say(f"building the fused kernels for this processor, once, with {compiler[0]}")
            begin = time.perf_counter()
            _compile((*compiler, *flags, str(SOURCES / "ops.cc"), *libraries), path)
            return Build(path, shlex.join(compiler), flags, time.perf_counter() - begin)
    except OSError as error:
        raise KernelError(f"the cache {directory} cannot be used ({error.strerror})") from None


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
        raise KernelError(f"the cache {path.parent} cannot be used ({error.strerror})") from None


def _plan():
    """The compiler, its flags, and where what it makes of the sources lies."""
    compiler = _compiler()
    flags = (*FLAGS, _processor_flag(), *tf.sysconfig.get_compile_flags())
    try:
        directory = cache_dir() / "kernels"
    except RuntimeError as error:  # there is no home directory
        raise KernelError(f"the cache has no place ({error}): set TFAE_CACHE_DIR") from None
    return compiler, flags, directory / f"fused-{_key(compiler, flags)}.so"


def _compiler():
    """The compiler's path, and the arguments that CXX gives it."""
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


def _key(compiler, flags):
    """Of everything that the library depends on."""
    digest = hashlib.sha256(tf.version.VERSION.encode())
    version = _run((*compiler, "--version")).stdout.encode()
    for part in (version, _processor(), *(flag.encode() for flag in flags)):
        digest.update(part)
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _processor():
    """What instructions there are: the cache may lie on a disk that machines share."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line.encode()
    return platform.processor().encode()


@contextlib.contextmanager
def _lock(path):
    import fcntl

    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command):
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise KernelError(f"{command[0]} took more than {TIMEOUT_S} s") from None
    except OSError as error:
        raise KernelError(f"{command[0]} cannot be run ({error.strerror})") from None


def _compile(command, path):
    """Compile to `path`, which appears whole or not at all."""
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        done = _run((*command, "-o", str(partial)))
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
            silent = [f"exit status {done.returncode}"]
            reason = (lines or done.stderr.splitlines() or silent)[0]
            raise KernelError(f"{command[0]} failed: {reason.strip()}")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
