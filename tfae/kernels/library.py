"""The kernels, loaded: TensorFlow ops, and what this machine is to them."""

import ctypes
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import tensorflow as tf

from tfae.kernels.build import KernelError, build, find
from tfae.kernels.check import check


@dataclass(frozen=True)
class Kernels:
    """The kernels, loaded.

    Attributes:
        ops: The ops: `tfae_train_epoch`, `tfae_evaluate`, `tfae_layers`. `src/ops.cc` has what they
            take.
        simd: Which instructions they use, for a person.
        has_bfloat16: Whether they multiply bfloat16 numbers.
    """

    ops: ModuleType
    simd: str
    has_bfloat16: bool


def load(say=lambda line: None):
    """The `Kernels`, built first where they have not been.

    Args:
        say: Called with a line before a build.

    Raises:
        KernelError: They can be neither found nor built, do not load, or compute wrong numbers.
    """
    made = build(say)
    kernels = _load(made.path)
    if made.seconds:
        try:
            check(kernels)
        except KernelError:
            made.path.unlink()
            raise
    return kernels


@functools.cache
def load_built():
    """The `Kernels` where they have been built before and there is no GPU, else None."""
    try:
        path = None if tf.config.list_physical_devices("GPU") else find()
        return _load(path) if path else None
    except KernelError:
        return None


_loaded = {}  # by file name: TensorFlow takes an op once, from wherever its library comes


def _load(path):
    if path.name not in _loaded:
        _loaded[path.name] = _load_library(path)
    return _loaded[path.name]


def _load_library(path):
    try:
        ops = tf.load_op_library(str(path))
        library = ctypes.CDLL(str(path))
    except (tf.errors.NotFoundError, OSError) as error:
        raise KernelError(f"{path} does not load: {str(error).splitlines()[0]}") from None
    library.tfae_simd.restype = ctypes.c_char_p
    library.tfae_has_bfloat16.restype = ctypes.c_bool
    return Kernels(ops, library.tfae_simd().decode(), library.tfae_has_bfloat16())


def thread_count():
    """How many threads the kernels use: TensorFlow's intra-op setting, else the cores there are.

    The process' affinity and its control group's limit are respected either way.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = min(cores, _control_group_cores())
    return min(tf.config.threading.get_intra_op_parallelism_threads() or cores, cores)


def _control_group_cores():
    """The cores that the control group's quota pays for; infinity where it has none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.inf if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return math.inf
