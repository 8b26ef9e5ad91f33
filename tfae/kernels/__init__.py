"""The native kernels: whole epochs of a stack of dense layers on the CPU, as TensorFlow ops.

`src/` has them: `ops.cc` is the way in from TensorFlow, `train.h` runs an epoch on a team of
threads, `network.h` takes a block of rows forward and backward, `gemm.h` multiplies. This package
builds and loads them; it knows nothing of training runs.
"""

import functools
import math
import os
from pathlib import Path

import tensorflow as tf

from tfae.kernels.build import Build, KernelError, build

__all__ = ["Build", "KernelError", "build", "load", "thread_count"]


def load(say=lambda line: None):
    """The module of ops: `tfae_train_epoch`, `tfae_evaluate`.

    Args:
        say: Called with a line before a build.

    Raises:
        KernelError: They can be neither found nor built, or do not load.
    """
    return _load_library(build(say).path)


@functools.cache
def _load_library(path):
    try:
        return tf.load_op_library(str(path))
    except (tf.errors.NotFoundError, OSError) as error:
        raise KernelError(f"{path} does not load: {str(error).splitlines()[0]}") from None


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
