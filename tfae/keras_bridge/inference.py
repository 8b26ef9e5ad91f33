"""`tfae.evaluate` and `tfae.predict`: Keras' own, on the fast path."""

import keras
import numpy as np
import tensorflow as tf

from tfae.engines.forward import native_forward
from tfae.host import console
from tfae.keras_bridge.callbacks import callback_list, told_of_test, warn_of_batches
from tfae.keras_bridge.causes import LeftToFit, NotPlain
from tfae.keras_bridge.compiled import check_taken, data_for, runner_for
from tfae.keras_bridge.failures import said_of
from tfae.keras_bridge.fallback import evaluate_by_keras
from tfae.keras_bridge.layers import dense_stack
from tfae.keras_bridge.overrides import is_keras_own
from tfae.keras_bridge.rows import checked_batch_size
from tfae.keras_bridge.targets import warn_beyond
from tfae.nn.scaling import Scaling

BATCH_SIZE = 1024  # where Keras predicts: its results do not depend on it, and its speed does


def evaluate(
    model,
    x,
    y=None,
    *,
    batch_size=None,
    verbose="auto",
    sample_weight=None,
    callbacks=None,
    return_dict=False,
):
    """The loss and the metrics of a compiled Keras model over rows, as `model.evaluate` has them.

    Args:
        model: As `tfae.fit` takes it; what that leaves to Keras is left to `model.evaluate`.
        x: [N, ...], the rows.
        y: [N, ...], what they are to be rebuilt as; x by default.
        batch_size: 32 by default, as in Keras.
        verbose: 0, 1, 2 or "auto", as in Keras.
        sample_weight: [N] or [N, 1].
        callbacks: Keras callbacks, told of one batch, which has all rows.
        return_dict: Whether to return the values by name.

    Returns:
        The loss, or a list of the loss and the metrics, or a dict by name.

    Raises:
        ValueError: The model or an argument is not to be taken; the message says what to do.
    """
    say = console.say if verbose else lambda line: None
    try:
        check_taken(model)
        data = data_for(model, x, y, sample_weight)
        runner = runner_for(model, data, checked_batch_size(batch_size), say=say, trains=False)
    except LeftToFit:
        return evaluate_by_keras(
            model,
            x,
            y,
            say,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            callbacks=callbacks,
            return_dict=return_dict,
        )
    warn_beyond(model.loss, data)
    callbacks = callback_list(callbacks, model, verbose, epochs=1, steps=1)
    warn_of_batches(callbacks.callbacks, "test", instead="model.evaluate")
    rows = runner.load(data)
    logs = told_of_test(callbacks, lambda: runner.evaluate(rows), steps=1)
    return logs if return_dict else model._flatten_metrics_in_order(logs)


def predict(model, x, *, batch_size=None, verbose="auto", callbacks=None):
    """What a Keras model gives for rows, as `model.predict` has it.

    Args:
        model: A `keras.Model`: an autoencoder, an encoder, a decoder.
        x: [N, ...], the rows; what else `model.predict` takes (several arrays, a Dataset) is left
            to that.
        batch_size: For where Keras itself predicts: layers that are not Dense, another dtype policy
            than float32, or no native kernels. The result does not depend on it.
        verbose: 0, 1, 2 or "auto", as in Keras.
        callbacks: Keras callbacks, told of one batch, which has all rows.

    Returns:
        [N, ...], a numpy array, or several.

    Raises:
        ValueError: model or x are none.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got a {type(model).__name__}")
    checked_batch_size(batch_size)
    try:
        rows = data_for(model, x).x
    except LeftToFit:
        return model.predict(x, batch_size=batch_size, verbose=verbose, callbacks=callbacks)
    if not isinstance(rows, np.ndarray):
        batch_size = batch_size or BATCH_SIZE
        return model.predict(rows, batch_size=batch_size, verbose=verbose, callbacks=callbacks)
    found = _native_stack(model, rows)
    if not found:
        if model.built:
            with said_of(f"the model does not take rows of the shape {rows.shape[1:]}"):
                model(rows[:1], training=False)
        batch_size = batch_size or BATCH_SIZE
        return model.predict(rows, batch_size=batch_size, verbose=verbose, callbacks=callbacks)
    callbacks = callback_list(callbacks, model, verbose, epochs=1, steps=1)
    warn_of_batches(callbacks.callbacks, "predict", instead="model.predict")
    callbacks.on_predict_begin()
    callbacks.on_predict_batch_begin(0)
    forward, dense = found
    inputs = tf.constant(rows.reshape(len(rows), -1).astype("float32", copy=False))
    params = [variable.value for variable in dense.variables]
    outputs = forward(inputs, params, dense.activations, Scaling()).numpy()
    outputs = outputs.reshape(-1, *model.output_shape[1:])
    callbacks.on_predict_batch_end(0, {"outputs": outputs})
    callbacks.on_predict_end()
    return outputs


def _native_stack(model, rows):
    """(function, `DenseStack`) where the native kernels give what Keras would, or None."""
    forward = native_forward()
    if not forward or not is_keras_own(model, "predict_step"):
        return None
    try:
        dense = dense_stack(model, inference=True)
    except NotPlain:
        return None
    fits = rows.shape[1:] == model.input_shape[1:] and dense.policy == "float32"
    return (forward, dense) if fits else None
