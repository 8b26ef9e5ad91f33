"""Keras callbacks where an epoch is one call."""

import warnings

import keras

_OF_BATCHES = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


def callback_list(callbacks, model, verbose, add_history=False, **params):
    """Keras' list of these callbacks, or the one that they are already.

    Args:
        callbacks: A callback, several, a `keras.callbacks.CallbackList`, or None.
        model: The model that they are told of.
        verbose: 0, 1, 2 or "auto", as in Keras.
        add_history: Whether the model gets a History of what they are told.
        **params: What the callbacks find in their `params`.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    return keras.callbacks.CallbackList(
        callbacks,
        add_history=add_history,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        **params,
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
    if isinstance(callback, (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)):
        if callback.save_freq not in ("epoch", False):
            return True
    elif isinstance(callback, keras.callbacks.TensorBoard) and callback.update_freq != "epoch":
        return True
    # A LambdaCallback has what it was given as attributes; Keras' own classes do without batches.
    return any(
        name in vars(callback)
        or not _where_defined(type(callback), name).__module__.startswith("keras.")
        for name in _OF_BATCHES
    )


def _where_defined(kind, name):
    return next(base for base in kind.__mro__ if name in vars(base))
