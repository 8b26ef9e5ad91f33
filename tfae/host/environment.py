"""What a number was measured on: the machine, its devices and the versions."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from tfae.host.version import __version__

# The most that the native kernels would use, by the processor's flag for it.
INSTRUCTIONS = {
    "avx512_bf16": "AVX-512 with bfloat16 products",
    "avx512dq": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "asimd": "NEON",
}


def describe_environment():
    """The machine, device and versions as a dictionary that JSON can hold.

    On a GPU also whether float32 products round their inputs to TF32; and `XLA_FLAGS`, if any.
    """
    xla_flags = os.environ.get("XLA_FLAGS")
    tf32 = {"tf32": tf.config.experimental.tensor_float_32_execution_enabled()}
    return {
        "cpu": _cpu_fact("model name") or platform.processor() or platform.machine(),
        "instructions": _instructions(),
        "cores": _usable_cores(),
        "memory_gb": round(memory_bytes() / 1e9, 1),
        "device": device_name(),
        **(tf32 if visible_gpus() else {}),
        **({"xla_flags": xla_flags} if xla_flags else {}),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "tfae": __version__,
        **{name: version(name) for name in ("tensorflow", "keras", "numpy")},
    }


def device_name():
    """The first GPU's name, or "CPU"."""
    gpus = visible_gpus()
    if not gpus:
        return "CPU"
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def visible_gpus():
    """TensorFlow's GPUs, without those that `tf.config.set_visible_devices` hides."""
    return tf.config.get_visible_devices("GPU")


def peak_memory_bytes():
    """The most memory this process has held so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def memory_bytes():
    """The memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def processor_flags():
    """What instructions there are, as Linux lists them; "" where that is not known."""
    return _cpu_fact("flags") or _cpu_fact("Features")


def _instructions():
    flags = processor_flags().split()
    return next((name for flag, name in INSTRUCTIONS.items() if flag in flags), "")


def _cpu_fact(label):
    """What Linux says of the first core under a label; "" where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    facts = (line.partition(":")[2].strip() for line in lines if line.startswith(label))
    return next(facts, "")
