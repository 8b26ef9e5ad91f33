"""`tfae.evaluate` and `tfae.predict`: Keras' own, on the fast path."""

import keras
import numpy as np
import tensorflow as tf

from tfae.keras_bridge.compiled import check_taken, runner_for
from tfae.keras_bridge.layers import NotPlain, dense_stack
from tfae.keras_bridge.rows import Data, checked_batch_size
from tfae.kernels.library import load_built, stack_inputs
from tfae.kernels.threads import thread_count
from tfae.scaling import Scaling

CHUNK_ROWS = 8192  # where Keras' layers compute: their activations fit in the memory


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
        model: As `tfae.fit` takes it.
        x: [N, ...], the rows.
        y: [N, ...], what they are to be rebuilt as; x by default.
        batch_size: 32 by default, as in Keras.
        verbose: 0, 1, 2 or "auto", as in Keras.
        sample_weight: [N].
        callbacks: Keras callbacks, told of the beginning and the end.
        return_dict: Whether to return the values by name.

    Returns:
        The loss, or a list of the loss and the metrics, or a dict by name.

    Raises:
        ValueError: The model or an argument is not to be taken; the message says what to do.
    """
    check_taken(model)
    data = Data.of(x, y, sample_weight)
    runner = runner_for(model, data, checked_batch_size(batch_size), say=lambda line: None)
    callbacks = _callbacks(model, callbacks, verbose)
    callbacks.on_test_begin()
    logs = runner.evaluate(runner.load(data))
    callbacks.on_test_end(logs)
    if return_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else values[0]


def predict(model, x, *, batch_size=None, verbose="auto", callbacks=None):
    """What a Keras model gives for rows, as `model.predict` has it.

    Args:
        model: A `keras.Model` with one input and one output: an autoencoder, an encoder, a decoder.
        x: [N, ...], the rows.
        batch_size: Taken for the sake of Keras; the result does not depend on it, nor the speed.
        verbose: 0, 1, 2 or "auto", as in Keras.
        callbacks: Keras callbacks, told of the beginning and the end.

    Returns:
        [N, ...], a numpy array.

    Raises:
        ValueError: x is no array of numbers.
    """
    checked_batch_size(batch_size)
    rows = Data.of(x).x
    callbacks = _callbacks(model, callbacks, verbose)
    callbacks.on_predict_begin()
    outputs = _outputs(model, rows)
    callbacks.on_predict_end()
    return outputs


def _callbacks(model, callbacks, verbose):
    return keras.callbacks.CallbackList(
        callbacks, add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=1, model=model
    )


def _outputs(model, rows):
    if not model.built:
        model(rows[:1])
    native = load_built()
    try:
        dense, activations, policy = dense_stack(model, inference=True)
        if native and policy == "float32":
            return _native_outputs(native, model, dense, activations, rows)
    except NotPlain:
        pass

    @tf.function(jit_compile=True, autograph=False)
    def outputs(rows):
        return model(rows, training=False)

    chunks = (rows[first : first + CHUNK_ROWS] for first in range(0, len(rows), CHUNK_ROWS))
    return np.concatenate([outputs(tf.constant(chunk)).numpy() for chunk in chunks])


def _native_outputs(native, model, dense, activations, rows):
    inputs = tf.constant(rows.reshape(len(rows), -1).astype("float32", copy=False))
    params = [variable.value for layer in dense for variable in (layer.kernel, layer.bias)]
    stack = stack_inputs(inputs, params, activations, Scaling())
    outputs = native.ops.tfae_layers(**stack, threads=thread_count())
    return outputs.numpy().reshape(-1, *model.output_shape[1:])
