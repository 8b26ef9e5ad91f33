"""Have a compiler make something of sources, once, in the cache."""

import contextlib
import hashlib
import os
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from tfae.errors import TfaeError
from tfae.host.cache import cache_dir

TIMEOUT_S = 300


class KernelError(TfaeError):
    """Why there are no native kernels, in one line."""


class NoCompiler(KernelError):
    """This machine has not the compiler."""


class CacheUnusable(KernelError):
    """The directory of the cache cannot be read or written."""

    def __init__(self, directory, error):
        super().__init__(
            f"the cache {directory} cannot be used ({error.strerror}): let TFAE_CACHE_DIR name a "
            "directory that can be written"
        )


def cached_path(name, suffix, sources, compiler, of):
    """Where what a compiler makes of sources lies in the cache.

    Args:
        name, suffix: Of the file.
        sources: The directory that they lie in.
        compiler: Its path, and the arguments that it always has.
        of: Whatever else the result depends on, as strings.

    Raises:
        KernelError: There is no place for a cache, or the compiler does not run.
    """
    try:
        directory = cache_dir() / "kernels"
    except RuntimeError as error:  # there is no home directory
        raise KernelError(f"the cache has no place ({error}): set TFAE_CACHE_DIR") from None
    digest = hashlib.sha256()
    for part in (_run((*compiler, "--version")).stdout, *of):
        digest.update(part.encode())
    for source in sorted(sources.iterdir()):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return directory / f"{name}-{digest.hexdigest()[:16]}{suffix}"


def build_once(command, sources, path, what, say, link=()):
    """Have a compiler write `path` where nothing is yet; return the seconds that it took.

    Args:
        command: The compiler and its flags.
        sources: Files; several are compiled side by side.
        path: In the cache.
        link: Flags that stand behind the sources.
        what: Is built, for a person.
        say: Called with a line before it is.

    Raises:
        KernelError: The compiler failed, or the cache cannot be written.
    """
    try:
        if path.exists():
            return 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.with_suffix(".lock")):
            if path.exists():  # another process was first
                return 0.0
            say(f"building {what}, once, with {command[0]}: less than a minute")
            begin = time.perf_counter()
            _compile(command, sources, link, path)
            return time.perf_counter() - begin
    except OSError as error:
        raise CacheUnusable(path.parent, error) from None


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


def _compile(command, sources, link, path):
    """Compile to `path`, which appears whole or not at all."""
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        with tempfile.TemporaryDirectory() as directory:
            if len(sources) > 1:
                objects = [f"{directory}/{source.name}.o" for source in sources]
                with ThreadPoolExecutor() as pool:
                    list(pool.map(lambda *of: _write((*command, "-c"), *of), sources, objects))
                sources = objects
            _write(command, *sources, *link, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write(command, *sources_and_path):
    """Run the compiler on sources, or raise its first error."""
    *sources, path = map(str, sources_and_path)
    done = _run((*command, *sources, "-o", path))
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        silent = [f"exit status {done.returncode}"]
        reason = (lines or done.stderr.splitlines() or silent)[0]
        raise KernelError(f"{command[0]} failed: {reason.strip()}")
