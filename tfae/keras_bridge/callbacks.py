"""Keras callbacks where an epoch is one call."""

import warnings

import keras

_OF_BATCHES = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


def warn_of_batches(callbacks):
    """Name those that want to be told of every batch, and say what to do.

    Args:
        callbacks: A list of Keras callbacks.
    """
    for callback in callbacks:
        if _wants_batches(callback):
            warnings.warn(
                f"{type(callback).__name__} works batch by batch, and an epoch is one call here: "
                "it is told of one batch an epoch, the last, with the epoch's means; where it must "
                "see them all, use model.fit",
                stacklevel=3,
            )


def _wants_batches(callback):
    for setting in ("save_freq", "update_freq"):  # of Keras' own
        if getattr(callback, setting, "epoch") not in ("epoch", False):
            return True
    if type(callback).__module__.startswith("keras."):
        # A LambdaCallback has what it was given as attributes.
        return any(name in vars(callback) for name in _OF_BATCHES)
    return any(
        getattr(type(callback), name, None) is not getattr(keras.callbacks.Callback, name)
        for name in _OF_BATCHES
    )
