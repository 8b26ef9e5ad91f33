"""The last way: Keras' own `fit` and `evaluate`, for what a whole epoch in one call is not."""

from tfae.keras_bridge.arrays import stream


def fit_by_keras(model, x, y, reason, *, validation_data=None, **options):
    """What `model.fit` makes of it, y being x where it is not given.

    Args:
        model, x, y, validation_data, **options: As `tfae.fit` has them.
        reason: Why this way was taken, a phrase.

    Returns:
        The `keras.callbacks.History`, whose `params` have the "engine" and the "reason".
    """
    if validation_data is not None and not isinstance(validation_data, (tuple, list)):
        validation_data, targets = _parts(validation_data, None)
        if targets is not None:
            validation_data = validation_data, targets
    x, y = _parts(x, y)
    history = model.fit(x, y, validation_data=validation_data, **options)
    history.params = {**history.params, "engine": "fit", "reason": reason}
    return history


def evaluate_by_keras(model, x, y, **options):
    """What `model.evaluate` makes of it, y being x where it is not given."""
    x, y = _parts(x, y)
    return model.evaluate(x, y, **options)


def _parts(x, y):
    return (x, y) if y is not None or stream(x) else (x, x)
