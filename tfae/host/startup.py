"""Importing TensorFlow without the dozen lines that its libraries print."""

import contextlib
import os
import sys
import tempfile


def import_tensorflow():
    """Import TensorFlow and look for GPUs, silently unless something is wrong.

    What the libraries print is shown after all where the import fails, where the machine has an
    NVIDIA device that TensorFlow could not use, or where TF_CPP_MIN_LOG_LEVEL is set.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # of the model that is saved
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tensorflow as tf

        return tf
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with _held_back_stderr() as release:
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU") and os.path.exists("/dev/nvidia0"):
            release()
    return tf


@contextlib.contextmanager
def _held_back_stderr():
    """Hold back what is written to file descriptor 2, by C++ too; an exception lets it out.

    Yields:
        A function that has it let out at the end.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    shown = []
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield lambda: shown.append(True)
        except Exception:
            shown.append(True)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            if shown:
                held.seek(0)
                os.write(2, held.read())
