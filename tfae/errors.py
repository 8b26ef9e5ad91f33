"""The errors a user can cause, each with the exit status the command line gives it."""


class TfaeError(Exception):
    """Base of the errors that are reported as one line, without a traceback.

    The message names the argument or file, the value received, what is allowed and what to do next.
    """

    exit_status = 1


class ConfigError(TfaeError, ValueError):
    """The options do not fit together or hold a value that is not allowed (exit status 2)."""

    exit_status = 2


class DataError(TfaeError, ValueError):
    """The rows cannot be had or are not fit to train on (exit status 1)."""


class TrainingError(TfaeError, RuntimeError):
    """The run cannot go on, for example because the loss is no longer finite (exit status 1)."""
