"""The GPU's kernels, loaded: a TensorFlow op that launches them, and the device that it is for."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import tensorflow as tf

from tfae.host.environment import visible_gpus
from tfae.kernels.build import FLAGS, compiler_command
from tfae.kernels.compiler import KernelError, build_once, cached_path
from tfae.kernels.gpu.build import SOURCES, build_kernel, nvcc_command
from tfae.kernels.gpu.plan import Device

# Of the CUDA driver's CUdevice_attribute.
_MULTIPROCESSORS = 16
_SHARED_BYTES_A_BLOCK = 97  # the most that a kernel can ask for
_CAPABILITY = 75, 76  # major, minor


@dataclass(frozen=True)
class GpuKernels:
    """What a device's kernels are launched with; the kernel of a plan is compiled for it.

    Attributes:
        ops: The op `tfae_gpu_train_epoch`; `src/op.cc` has what it takes.
        device: The `Device`.
        capability: Its compute capability: "9.0".
        say: Called with a line before a build.
    """

    ops: ModuleType
    device: Device
    capability: str
    say: Callable

    def kernel(self, definitions):
        """The path of the kernel that `Plan.definitions` describes, compiled where it was not.

        Raises:
            KernelError: nvcc does not do.
        """
        return build_kernel(self.capability, definitions, self.say)


def load(say=lambda line: None):
    """The `GpuKernels` for TensorFlow's GPU:0; the op is built first where it has not been.

    Args:
        say: Called with a line before a build.

    Raises:
        KernelError: There is no GPU, no nvcc or no compiler, or one of them does not do.
    """
    attribute = _device_attributes()
    major, minor = map(attribute, _CAPABILITY)
    nvcc_command(f"{major}.{minor}")
    limits = map(attribute, (_MULTIPROCESSORS, _SHARED_BYTES_A_BLOCK))
    device = Device(*limits)  # without clusters, whose kernel no device has run yet
    return GpuKernels(load_op(say), device, f"{major}.{minor}", say)


def load_op(say=lambda line: None):
    """The op, built first where it has not been; that needs no GPU.

    Raises:
        KernelError: There is no compiler, it failed, or what it made does not load.
    """
    compiler, flags = compiler_command(), (*FLAGS, *tf.sysconfig.get_compile_flags())
    path = cached_path("gpu-op", ".so", SOURCES, compiler, (tf.version.VERSION, *flags))
    link = (*tf.sysconfig.get_link_flags(), "-ldl")
    what = "the op that launches the GPU's kernels"
    build_once((*compiler, *flags), [SOURCES / "op.cc"], path, what, say, link)
    try:
        return tf.load_op_library(str(path))
    except tf.errors.NotFoundError as error:
        raise KernelError(f"{path} does not load: {str(error).splitlines()[0]}") from None


def _device_attributes():
    """A function from an attribute's number to its value, of TensorFlow's GPU:0."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise KernelError(f"there is no CUDA driver ({error})") from None
    device, value = ctypes.c_int(), ctypes.c_int()
    # Its name ends with the driver's number: tf.config may hide those before it.
    ordinal = next((int(gpu.name.rsplit(":", 1)[-1]) for gpu in visible_gpus()), 0)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), ordinal):
        raise KernelError("the CUDA driver finds no GPU")

    def attribute(number):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), number, device):
            raise KernelError(f"the CUDA driver does not know the attribute {number}")
        return value.value

    return attribute
