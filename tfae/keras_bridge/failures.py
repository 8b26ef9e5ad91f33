"""What Keras, TensorFlow and XLA raise of a model, as one line in words of their users."""

import contextlib
import re

import tensorflow as tf

from tfae.errors import TfaeError, TrainingError

LONG = 200  # of a line, from where only its first sentence is said
OUT_OF_MEMORY = "out of memory: give a smaller batch_size, or fewer rows at once"
_OPS_XLA_LACKS = re.compile(r"\(No registered '(\w+)' OpKernel")
# Names that TensorFlow gives to parts of its graphs, and colours of Keras' messages.
_NAMES = re.compile(
    r"\x1b\[[\d;]*m|\{\{[^}]*\}\}|\[Op:\w+\].*| for '[^']*' \(op.*| for '.*' with input shapes.*"
    r"| \([\w./-]+:\d+\)|Tensor\(\"[^\"]*\"[^)]*\)| name: *$"
)
_REFUSALS = (ValueError, TypeError, tf.errors.OpError)
_PREAMBLES = ("Exception encountered when calling", "Graph execution error", "Detected at node")


@contextlib.contextmanager
def compiling():
    """Say what to do where an epoch does not compile, or fails as it runs.

    What is no refusal of Keras', TensorFlow's or XLA's goes through as it is.

    Raises:
        ValueError: With the reason.
        TrainingError: There is no memory for it.
    """
    try:
        yield
    except TfaeError:
        raise
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise TrainingError(OUT_OF_MEMORY) from None
    except (*_REFUSALS, NotImplementedError, AttributeError) as error:
        raise ValueError(
            "an epoch of this model does not run in one call: a layer, loss, metric or schedule "
            f"does what TensorFlow cannot make a graph of ({in_words(error)}); train this model "
            "with model.fit"
        ) from None


@contextlib.contextmanager
def said_of(what):
    """Say what Keras could not do; what is no refusal of its own goes through as it is.

    Raises:
        ValueError: What, and the reason.
    """
    try:
        yield
    except _REFUSALS as error:
        raise ValueError(f"{what}: {in_words(error)}") from None


def in_words(error):
    """The first line of an error's message that says something, without names of nodes."""
    message = str(error)
    lacking = list(dict.fromkeys(_OPS_XLA_LACKS.findall(message)))
    if lacking:
        return f"XLA has no {', '.join(lacking)}"
    for line in message.splitlines():
        line = _NAMES.sub("", line).strip().rstrip(":")
        if line and not line.startswith(_PREAMBLES):
            first = line.split(". ")[0] if len(line) > LONG else line
            return first.removesuffix(".")
    return type(error).__name__
