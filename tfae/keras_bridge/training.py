"""`tfae.fit`: Keras' `fit`, an epoch a call."""

import functools
import itertools
import numbers
import random
import warnings

import keras
import tensorflow as tf

from tfae.data.feed import orders
from tfae.host import console
from tfae.keras_bridge.arrays import stream
from tfae.keras_bridge.callbacks import callback_list, told_of_test, warn_of_batches
from tfae.keras_bridge.causes import LeftToFit
from tfae.keras_bridge.compiled import check_taken, data_for, runner_for
from tfae.keras_bridge.fallback import fit_by_keras
from tfae.keras_bridge.rows import check_whole_number, checked_batch_size
from tfae.keras_bridge.runners import build
from tfae.keras_bridge.steps import KerasRunner
from tfae.keras_bridge.targets import warn_beyond


def fit(
    model,
    x,
    y=None,
    *,
    batch_size=None,
    epochs=1,
    verbose="auto",
    callbacks=None,
    validation_split=0.0,
    validation_data=None,
    shuffle=True,
    sample_weight=None,
    initial_epoch=0,
    validation_freq=1,
    class_weight=None,
    steps_per_epoch=None,
    validation_steps=None,
    validation_batch_size=None,
    precision=None,
    engine="auto",
    seed=None,
    strict=False,
):
    """Train a compiled Keras model in place, as `model.fit` does, an epoch in one call.

    Weights, the optimizer's variables and its count of steps are the model's own, so that
    `model.fit`, `model.evaluate` and `model.save` go on from there. Where an exception or Ctrl-C
    ends training midway, they are those of the last whole epoch.

    Args:
        model: A compiled `keras.Model`. Dense layers in a row train on tfae's own engines; others
            by Keras' own step, or the model's, all of an epoch's in one call; and what has no such
            epoch (run_eagerly, a strategy, rows that come bit by bit) by `model.fit` itself, many
            steps a call.
        x: [N, ...], the rows; a list or dict of arrays for a model of several inputs. Bytes count
            from 0 to 255, as in Keras. What gives its rows bit by bit (a Dataset, a generator, a
            PyDataset) is for `model.fit`.
        y: [N, ...], what they are to be rebuilt as; x by default, or nothing where the model has no
            loss of targets.
        batch_size: 32 by default, as in Keras.
        epochs: The number of the last epoch, from 1.
        verbose: 0, 1, 2 or "auto", as in Keras.
        callbacks: Keras callbacks. They are told of epochs, and once an epoch of "a batch".
        validation_split: The last rows' fraction, set aside for validation.
        validation_data: (x, y) or (x, y, sample_weight), or x alone where y is the same.
        shuffle: Whether every epoch has an order of its own.
        sample_weight: [N] or [N, 1]; for several outputs, a list or dict of these, too.
        initial_epoch: How many epochs count as done.
        validation_freq: Epochs between two validations, or a collection of those that have one,
            from 1.
        class_weight: The weights of rows by the number of their class, y; 1 where it has none.
        steps_per_epoch, validation_steps: Of `model.fit`, which trains where one is given.
        validation_batch_size: The means do not depend on it.
        precision: "float32", "mixed_bfloat16" or "mixed_float16"; that of the model's dtype policy
            by default.
        engine: "auto", "xla" or "fused".
        seed: Of the orders, 0 or more; by default drawn from Python's `random`, which
            `keras.utils.set_random_seed` seeds. `model.fit` has orders of its own.
        strict: Whether to refuse what is left to `model.fit` itself.

    Returns:
        The `keras.callbacks.History`. Its `params` say which "engine" it was, "keras" where that
        is Keras' own step and "fit" where it is `model.fit`, and the "reason".

    Raises:
        ValueError: The model or an argument is not to be taken; the message says what to do.
        TrainingError: The engine that was asked for cannot be built on this machine.
    """
    say = console.say if verbose else lambda line: None
    try:
        _leave_to_fit(steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        check_taken(model)
        data = data_for(model, x, y, sample_weight, class_weight)
        if validation_split and validation_data is None:
            data, held_out = data.split(validation_split)
        else:
            held_out = _validation(model, validation_data)
        rows_a_step = checked_batch_size(batch_size)
        check_whole_number("epochs", epochs, 0)
        last = _limited(epochs)
        check_whole_number("initial_epoch", initial_epoch, 0)
        if not isinstance(validation_freq, (list, tuple, set, range)):
            check_whole_number("validation_freq", validation_freq, 1)
        if seed is not None:
            check_whole_number("seed", seed, 0)
        if shuffle not in (True, False):
            raise ValueError(f"shuffle must be True or False, got {shuffle!r}")
        runner = runner_for(model, data, rows_a_step, precision, engine, say)
        if validation_data is not None:
            _of_validation(lambda: build(model, held_out))
    except LeftToFit as why:
        if strict or engine != "auto" or precision is not None:
            raise
        say(f"training by model.fit's own loop: {why.reason}")
        return fit_by_keras(
            model,
            x,
            y,
            why.reason,
            say,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    warn_beyond(model.loss, data, held_out)
    runner.expect(last - initial_epoch, len(data))
    if isinstance(runner, KerasRunner):
        how = "which is compiled first" if runner.compiled else "as a graph"
        say(f"training by Keras' own step, {how}: {runner.reason}")
    steps = -(-len(data) // rows_a_step)
    callbacks = callback_list(callbacks, model, verbose, add_history=True, epochs=last, steps=steps)
    which = {"engine": runner.engine, "reason": runner.reason}
    callbacks.set_params({**(callbacks.params or {}), **which})
    kinds = ("train",) if held_out is None else ("train", "test")
    warn_of_batches(callbacks.callbacks, *kinds, instead="model.fit")
    validate = None
    if held_out is not None:
        evaluator = runner
        if not runner.takes(held_out):
            evaluator = runner_for(model, held_out, rows_a_step, say=say, trains=False)
        evaluate = functools.partial(evaluator.evaluate, evaluator.load(held_out))
        validate = functools.partial(
            told_of_test, callbacks, evaluate, -(-len(held_out) // rows_a_step)
        )

    rows = runner.load(data)
    model.stop_training = False
    callbacks.on_train_begin()
    # BackupAndRestore knows better, by now, where to begin.
    first = model._initial_epoch or initial_epoch
    logs = None
    orders_left = iter(_orders(data, shuffle, seed, first, last))
    for epoch in range(first, last):
        callbacks.on_epoch_begin(epoch)
        callbacks.on_train_batch_begin(0)
        logs = runner.train_epoch(rows, next(orders_left))
        callbacks.params["reason"] = runner.reason  # which the first epoch may have added to
        callbacks.on_train_batch_end(steps - 1, logs)
        if validate and _is_due(epoch, validation_freq):
            logs = logs | {f"val_{name}": value for name, value in validate().items()}
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    if logs:  # an epoch has run, of which there may be averages to put in place
        model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)
    return model.history


def _leave_to_fit(**arguments):
    given = ", ".join(name for name, value in arguments.items() if value is not None)
    if given:
        raise LeftToFit(f"{given} is given")


def _limited(epochs):
    """The epochs that `keras.config` leaves of these."""
    if keras.config.max_steps_per_epoch():
        raise LeftToFit("keras.config.set_max_steps_per_epoch limits the steps")
    most = keras.config.max_epochs()
    if not most or epochs <= most:
        return epochs
    warnings.warn(f"Limiting epochs to {most}", stacklevel=3)
    return most


def _validation(model, given):
    """The `Data` of `validation_data`, or None where it is None."""
    if given is None:
        return None
    if kind := stream(given):
        raise LeftToFit(f"validation_data is {kind} ({type(given).__name__})")
    parts = given if isinstance(given, (tuple, list)) else (given,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            "validation_data must be (x, y) or (x, y, sample_weight), or x alone; got "
            f"{len(parts)} arrays"
        )
    return _of_validation(lambda: data_for(model, *parts))


def _of_validation(function):
    """What the function returns; what it raises is said of the argument."""
    try:
        return function()
    except LeftToFit as why:
        raise LeftToFit(f"validation_data: {why.reason}") from None
    except ValueError as error:
        raise ValueError(f"validation_data: {error}") from None


def _orders(data, shuffle, seed, first, epochs):
    """A permutation [N] int32 for each epoch."""
    rows = len(data)
    if not shuffle:
        return itertools.repeat(tf.range(rows))
    seed = random.randrange(2**32) if seed is None else seed
    return orders(rows, seed, first + 1, epochs)


def _is_due(epoch, frequency):
    """Whether the epoch, from 0, ends with a validation, as Keras has it."""
    if isinstance(frequency, numbers.Integral):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency
