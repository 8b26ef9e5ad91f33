"""What of a Keras model is Keras' own, and what somebody put in its place."""

import keras

# Of the steps that Keras makes, and of what it says of them.
OF_STEPS = (
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
    "metrics",
    "reset_metrics",
    "get_metrics_result",
)
OF_FUNCTIONS = ("make_train_function", "make_test_function")


def is_keras_own(model, name):
    """Whether a method or property of a model is that of `keras.Model`."""
    return getattr(type(model), name) is getattr(keras.Model, name) and name not in vars(model)


def overridden(model, names):
    """Those of the names that are not Keras' own."""
    return [name for name in names if not is_keras_own(model, name)]


def has_targets(model):
    """Whether Keras' own step holds a model's outputs against targets."""
    return model.loss is not None and is_keras_own(model, "train_step")
