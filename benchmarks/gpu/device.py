"""A GPU as the kernel's benchmark sees it, through CuPy; and the processor in its place."""

import platform
import tempfile
import time
from functools import cached_property

import numpy as np

from benchmarks.gpu.checks import H200
from benchmarks.gpu.driver import Module
from benchmarks.gpu.host import Host, HostMemory, build_host
from tfae.errors import TrainingError
from tfae.kernels.compiler import KernelError
from tfae.kernels.gpu.build import build_kernel
from tfae.kernels.gpu.plan import Device, largest_cluster

EPOCHS_AT_ONCE = 10  # between two events: what a launch costs the host does not count


class Gpu:
    """The first CUDA device.

    Args:
        most_looks: After how many looks in vain a block that waits stops the kernel; 0 for never.

    Attributes:
        device: The `Device`.
        environment: What a number was measured on, as JSON can hold it.

    Raises:
        TrainingError: CuPy is not there.
    """

    def __init__(self, most_looks=0):
        try:
            import cupy
        except ImportError:
            raise TrainingError(
                "CuPy is not installed: pip install cupy-cuda13x (or -cuda12x)"
            ) from None
        self._cupy, self._most_looks = cupy, most_looks
        self.put, self.get = cupy.asarray, cupy.asnumpy
        cupy.cuda.Device(0).use()
        cupy.zeros(1)  # makes the context that the driver is called in
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        limits = properties["multiProcessorCount"], properties["sharedMemPerBlockOptin"]
        self.device = Device(*limits, largest_cluster(properties["major"]))
        self._capability = f"{properties['major']}.{properties['minor']}"
        self.environment = {
            "device": properties["name"].decode(),
            "compute_capability": self._capability,
            "multiprocessors": self.device.multiprocessors,
            "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
            "cuda_runtime": cupy.cuda.runtime.runtimeGetVersion(),
            "cupy": cupy.__version__,
            **_versions(),
        }

    @staticmethod
    def address(array):
        """Where an array lies."""
        return array.data.ptr

    def launch(self, problem, plan):
        """What `Problem.launch` returns."""
        module = self._module(problem, plan)

        def run(settings):
            module.launch(settings, plan)
            self._cupy.cuda.runtime.deviceSynchronize()

        return problem.launch(plan, self, run)

    def epoch_ms(self, problem, plan, repeats):
        """Milliseconds of an epoch, so often."""
        module, milliseconds = self._module(problem, plan), []

        def run(settings):
            for _ in range(repeats):
                begin, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()
                stream = self._cupy.cuda.get_current_stream().ptr
                begin.record()
                for _ in range(EPOCHS_AT_ONCE):
                    module.clear(settings, plan, stream)
                    module.launch(settings, plan, stream)
                end.record()
                end.synchronize()
                elapsed = self._cupy.cuda.get_elapsed_time(begin, end)
                milliseconds.append(elapsed / EPOCHS_AT_ONCE)

        problem.launch(plan, self, run)
        return milliseconds

    @cached_property
    def matmul_flop_per_s(self):
        """Of a large product of float16: CuPy has no bfloat16, which is as fast."""
        size, cupy, times = 8192, self._cupy, []
        a, b = (cupy.random.standard_normal((size, size), "f").astype("f2") for _ in range(2))
        for _ in range(8):
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            a @ b
            end.record()
            end.synchronize()
            times.append(cupy.cuda.get_elapsed_time(begin, end))
        return 2 * size**3 / (np.median(times[3:]) / 1e3)

    def _module(self, problem, plan):
        try:
            cubin = build_kernel(
                self._capability, problem.definitions(plan), print, self._most_looks
            )
        except KernelError as error:
            raise TrainingError(str(error)) from None
        return Module(cubin.read_bytes())


class StandIn:
    """The processor in a GPU's place, to rehearse on: the same calls, and no time worth a word."""

    def __init__(self, most_looks=0):
        self.device = H200
        self.environment = {"device": "the processor, in a GPU's place", **_versions()}
        flags = (f"-DTFAE_MOST_LOOKS={most_looks}",) if most_looks else ()
        with tempfile.TemporaryDirectory() as directory:
            self._host = Host(build_host(directory, *flags))

    put, get, address = HostMemory.put, HostMemory.get, HostMemory.address

    def launch(self, problem, plan):
        """What `Problem.launch` returns."""
        return self._host.launch(problem, plan)

    def epoch_ms(self, problem, plan, repeats):
        """Milliseconds of an epoch, so often."""
        milliseconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            self.launch(problem, plan)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
        return milliseconds

    @cached_property
    def matmul_flop_per_s(self):
        """Of a product of float32."""
        matrix = np.ones((512, 512), "f")
        begin = time.perf_counter()
        matrix @ matrix
        return 2 * 512**3 / (time.perf_counter() - begin)


def _versions():
    return {
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
