"""An object in a process of its own: contestants share no thread pool, allocator or library.

The process that directs them has no TensorFlow, which would take the GPU; what it has to know of
that, it asks another process for.
"""

import contextlib
import functools
import multiprocessing
import os

ENVIRONMENT = {
    # Several processes share a GPU.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "KERAS_BACKEND": "tensorflow",
}


class WorkerError(Exception):
    """What went wrong in the process, in one line."""


class Worker:
    """Builds an object in a new process and calls its methods there.

    Args:
        build: A function that can be pickled, and returns the object.
        args: Of that function.

    Raises:
        WorkerError: The object could not be built.
    """

    def __init__(self, build, *args):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, args), daemon=True)
        self._process.start()
        theirs.close()
        self._receive()

    @classmethod
    def ask(cls, function, *args):
        """What a function returns, called in a process that ends with it.

        Args:
            function: It can be pickled.
            args: Of it.

        Raises:
            WorkerError: It raised, or the process died.
        """
        return cls(functools.partial, function, *args).call("__call__")

    def call(self, method, *args):
        """The result of that method.

        Raises:
            WorkerError: The method raised, or the process died.
        """
        with contextlib.suppress(OSError):  # a process that died is said by what follows
            self._connection.send((method, args))
        return self._receive()

    def _receive(self):
        try:
            error, result = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerError(f"its process ended with {self._process.exitcode}") from None
        if error:
            raise WorkerError(error)
        return result


def _serve(connection, build, args):
    # What libraries print while they load is no part of a benchmark; errors come back as results.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        served = build(*args)
    except Exception as error:
        connection.send((_described(error), None))
        return
    connection.send((None, None))
    while True:
        try:
            method, args = connection.recv()
        except EOFError:
            return
        try:
            connection.send((None, getattr(served, method)(*args)))
        except Exception as error:
            connection.send((_described(error), None))


def _described(error):
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
