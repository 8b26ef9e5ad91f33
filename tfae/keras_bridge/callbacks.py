"""Keras callbacks where an epoch is one call."""

import warnings

import keras

_OF_BATCHES = {
    "train": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


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


def told_of_test(callbacks, evaluate, steps):
    """What `evaluate()` returns, the logs; the callbacks are told of it as of one batch."""
    callbacks.on_test_begin()
    callbacks.on_test_batch_begin(0)
    logs = evaluate()
    callbacks.on_test_batch_end(steps - 1, logs)
    callbacks.on_test_end(logs)
    return logs


def work_by_batches(callbacks):
    """Whether one of these wants to be told of every batch of training or of testing.

    Args:
        callbacks: A callback, several, a `keras.callbacks.CallbackList`, or None.
    """
    names = [*_OF_BATCHES["train"], *_OF_BATCHES["test"]]
    callbacks = getattr(callbacks, "callbacks", callbacks) or []
    return any(
        _saves_at_batches(callback) or _is_told_of(callback, names)
        for callback in (callbacks if isinstance(callbacks, (list, tuple)) else [callbacks])
    )


def warn_of_batches(callbacks, *kinds, instead):
    """Name those that want to be told of every batch, and say what to do.

    Args:
        callbacks: A list of Keras callbacks.
        *kinds: Of the batches that there are: "train", "test", "predict".
        instead: What tells of every batch, as a phrase.
    """
    names = [name for kind in kinds for name in _OF_BATCHES[kind]]
    for callback in callbacks:
        if ("train" in kinds and _saves_at_batches(callback)) or _is_told_of(callback, names):
            warnings.warn(
                f"{type(callback).__name__} works batch by batch, and all rows are one call here: "
                "it is told of one batch, the last, with the means of all; where it must see them "
                f"all, use {instead}",
                stacklevel=3,
            )


def _saves_at_batches(callback):
    # ModelCheckpoint, BackupAndRestore and others have the one, TensorBoard the other.
    frequencies = (getattr(callback, name, "epoch") for name in ("save_freq", "update_freq"))
    return any(frequency not in ("epoch", False) for frequency in frequencies)


def _is_told_of(callback, names):
    # A LambdaCallback has what it was given as attributes; Keras' own classes do without batches.
    return any(
        name in vars(callback)
        or not _where_defined(type(callback), name).__module__.startswith("keras.")
        for name in names
    )


def _where_defined(kind, name):
    return next(base for base in kind.__mro__ if name in vars(base))
