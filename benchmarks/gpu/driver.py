"""Launch a cubin's kernels through the CUDA driver, as the TensorFlow op does."""

import ctypes

from tfae.kernels.gpu.plan import HANDED, THREADS

_MAX_DYNAMIC_SHARED_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

_COOPERATIVE, _CLUSTER_DIMENSION = 2, 4  # CUlaunchAttributeID


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute of cuda.h."""

    _fields_ = (
        ("id", ctypes.c_uint),
        ("padding", ctypes.c_uint),
        ("value", ctypes.c_uint * 16),
    )


class _Config(ctypes.Structure):
    """CUlaunchConfig of cuda.h."""

    _fields_ = (
        ("grid_and_block", ctypes.c_uint * 6),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("attribute_count", ctypes.c_uint),
    )


class Module:
    """A cubin in the current context, which another library has made.

    Args:
        code: The cubin's bytes.
    """

    def __init__(self, code):
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._module = ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(self._module), code)

    def launch(self, settings, plan, stream=0):
        """Launch the kernel, all of whose blocks run at once.

        Args:
            settings: The `Settings`.
            plan: The `Plan`.
            stream: Its address.

        Raises:
            RuntimeError: The driver refused it; the message has the driver's words.
        """
        function = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(function), self._module, b"tfae_epoch")
        self._call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED_BYTES, plan.shared_bytes)
        attributes = (_Attribute * 2)()
        attributes[0].id, attributes[0].value[0] = _COOPERATIVE, 1
        attributes[1].id, attributes[1].value[:3] = _CLUSTER_DIMENSION, (plan.cluster, 1, 1)
        config = _Config(
            (plan.blocks, 1, 1, THREADS, 1, 1),
            plan.shared_bytes,
            stream,
            ctypes.addressof(attributes),
            2 if plan.cluster > 1 else 1,
        )
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(settings))
        self._call("cuLaunchKernelEx", ctypes.byref(config), function, arguments, None)

    def clear(self, settings, plan, stream=0):
        """Clear what blocks hand each other, as a launch wants it."""
        for name in HANDED:
            if size := plan.scratch.get(name):
                self._call(
                    "cuMemsetD32Async",
                    ctypes.c_uint64(getattr(settings, name)),
                    *(ctypes.c_uint(0), ctypes.c_size_t(size // 4), ctypes.c_void_p(stream)),
                )

    def _call(self, name, *arguments):
        code = getattr(self._cuda, name)(*arguments)
        if code:
            words = ctypes.c_char_p()
            self._cuda.cuGetErrorString(code, ctypes.byref(words))
            raise RuntimeError(f"{name}: {(words.value or b'error').decode()} ({code})")
