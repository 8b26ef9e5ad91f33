"""Launch a cubin's kernels through the CUDA driver, as the TensorFlow op does."""

import ctypes

from tfae.kernels.gpu.plan import THREADS

_MAX_DYNAMIC_SHARED_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


class Module:
    """A cubin in the current context, which another library has made.

    Args:
        code: The cubin's bytes.
    """

    def __init__(self, code):
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._module = ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(self._module), code)

    def launch(self, name, settings, plan, stream=0):
        """Launch a kernel, all of whose blocks run at once.

        Args:
            name: The kernel's.
            settings: The `Settings`.
            plan: The `Plan`.
            stream: Its address.

        Raises:
            RuntimeError: The driver refused it; the message has the driver's words.
        """
        function = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(function), self._module, name.encode())
        self._call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED_BYTES, plan.shared_bytes)
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(settings))
        self._call(
            "cuLaunchCooperativeKernel",
            function,
            *(plan.blocks, 1, 1),
            *(THREADS, 1, 1),
            plan.shared_bytes,
            ctypes.c_void_p(stream),
            arguments,
        )

    def _call(self, name, *arguments):
        code = getattr(self._cuda, name)(*arguments)
        if code:
            words = ctypes.c_char_p()
            self._cuda.cuGetErrorString(code, ctypes.byref(words))
            raise RuntimeError(f"{name}: {(words.value or b'error').decode()} ({code})")
