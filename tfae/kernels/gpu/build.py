"""Compile the GPU's kernel with nvcc, for a kind of device and a plan, once, into the cache."""

import os
import shutil
from pathlib import Path

from tfae.kernels.compiler import KernelError, NoCompiler, build_once, cached_path

SOURCES = Path(__file__).parent / "src"
# By compute capability. Of Hopper and later, the features that only that architecture has, too.
ARCHITECTURES = {"8.0": "80", "8.9": "89", "9.0": "90a", "10.0": "100a"}


def build_kernel(capability, definitions, say=lambda line: None, most_looks=0):
    """The path of the kernel for a device and a plan; it is compiled first where it was not.

    That needs no GPU, and no TensorFlow.

    Args:
        capability: The device's compute capability: "9.0".
        definitions: What `Plan.definitions` gives.
        say: Called with a line before something that takes long.
        most_looks: After how many looks in vain a block that waits stops the kernel; 0 for never.

    Raises:
        KernelError: There is no nvcc, it failed, or it does not know the device; or the cache
            cannot be written.
    """
    command = (*nvcc_command(capability, most_looks), *definitions)
    path = cached_path("gpu", ".cubin", SOURCES, command[:1], command[1:])
    what = f"the GPU's kernel for this model and compute capability {capability}"
    build_once(command, [SOURCES / "epoch.cu"], path, what, say)
    return path


def nvcc_command(capability, most_looks=0):
    """nvcc and its flags for a device of that compute capability.

    Raises:
        KernelError: There is no nvcc, or the kernels are not for such devices.
    """
    architecture = ARCHITECTURES.get(capability)
    if not architecture:
        raise KernelError(
            f"the GPU's kernels are for compute capability {', '.join(ARCHITECTURES)}, "
            f"not for {capability}"
        )
    code = f"-gencode=arch=compute_{architecture},code=sm_{architecture}"
    # Quotients and roots may be off by two in the last place, which of an update or a loss is far
    # less than the products' inputs were rounded by.
    fast = "-ftz=true", "-prec-div=false", "-prec-sqrt=false"
    limit = (f"-DTFAE_MOST_LOOKS={most_looks}",) if most_looks else ()
    return _nvcc(), "-cubin", "-std=c++17", "-O3", *fast, *limit, code


def _nvcc():
    toolkit = os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    found = shutil.which("nvcc") or shutil.which("nvcc", path=f"{toolkit}/bin")
    if not found:
        raise NoCompiler("there is no nvcc (install the CUDA toolkit, or set CUDA_HOME)")
    return found
