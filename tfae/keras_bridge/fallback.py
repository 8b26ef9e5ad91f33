"""The last way: Keras' own `fit` and `evaluate`, for what a whole epoch in one call is not."""

import contextlib
import math
import operator

import keras

from tfae.host.environment import visible_gpus
from tfae.keras_bridge.arrays import stream
from tfae.keras_bridge.callbacks import work_by_batches
from tfae.keras_bridge.overrides import OF_FUNCTIONS, has_targets, overridden
from tfae.keras_bridge.streams import StreamedSteps

_FUNCTIONS = {"train_function": "train_step", "test_function": "test_step"}  # that Keras calls
STEPS_A_CALL = 100  # more of them gain nothing
FEWEST_STEPS = 20  # a call, of those that divide what was asked for


def fit_by_keras(model, x, y, reason, say, *, validation_data=None, **options):
    """What `model.fit` makes of it, many steps a call.

    Args:
        model, x, y, validation_data, **options: As `tfae.fit` has them.
        reason: Why this way was taken, a phrase.
        say: Called with a line where something takes long.

    Returns:
        The `keras.callbacks.History`, whose `params` have the "engine", "fused" where its steps
        were a native program, and the "reason".
    """
    if validation_data is not None and not isinstance(validation_data, (tuple, list)):
        validation_data, targets = _parts(model, validation_data, None)
        if targets is not None:
            validation_data = validation_data, targets
    x, y = _parts(model, x, y)
    asked_for = (options.get("steps_per_epoch"), options.get("validation_steps"))
    with _many_steps(model, say, options.get("callbacks"), *asked_for) as steps:
        history = model.fit(x, y, validation_data=validation_data, **options)
    engine, refusal = "fused" if steps else "fit", getattr(steps, "refusal", None)
    if refusal:
        engine, reason = "fit", f"{reason}, its step has {refusal}"
    history.params = {**history.params, "engine": engine, "reason": reason}
    return history


def evaluate_by_keras(model, x, y, say, **options):
    """What `model.evaluate` makes of it, many steps a call."""
    x, y = _parts(model, x, y)
    with _many_steps(model, say, options.get("callbacks")):
        return model.evaluate(x, y, **options)


def _parts(model, x, y):
    """(x, y), the rows being their own targets where none are given and there is a loss of them."""
    return (x, y) if y is not None or stream(x) or not has_targets(model) else (x, x)


@contextlib.contextmanager
def _many_steps(model, say, callbacks, *asked_for):
    """Have Keras make many steps a call: a native program's, or else by its own function.

    Args:
        model: A compiled model, which keeps the functions made meanwhile for another time.
        say: Called with a line where something takes long.
        callbacks: As Keras takes them; where one works batch by batch, a call is a step.
        *asked_for: Numbers of steps of which none is to be passed, or None.
    """
    if (
        model.run_eagerly
        or model.steps_per_execution > 1
        or keras.config.max_steps_per_epoch()
        or overridden(model, OF_FUNCTIONS)
        or work_by_batches(callbacks)
    ):
        yield None
        return
    steps = steps_a_call([steps for steps in asked_for if steps])
    kept = getattr(model, "_tfae_many_steps", None)
    if not kept or not kept.are_of(model, steps):
        kept = model._tfae_many_steps = _ManySteps(model, steps, say)
    of_single_steps = _functions(model)
    try:
        model.steps_per_execution = steps
        _put(model, kept.functions)
        yield kept.functions["train_function"]
    finally:
        kept.functions = _functions(model)
        model.steps_per_execution = 1
        _put(model, of_single_steps)


class _ManySteps:
    """Keras' functions of many steps a call, kept with the model, until it is compiled again."""

    def __init__(self, model, steps, say):
        self._steps, self._of = steps, self._parts(model)
        self.functions = dict.fromkeys(_FUNCTIONS)
        if model._distribute_strategy is None and not visible_gpus():
            self.functions = {
                function: StreamedSteps(model, step, steps, say)
                for function, step in _FUNCTIONS.items()
            }

    def are_of(self, model, steps):
        """Whether they are what Keras would trace now."""
        return steps == self._steps and all(map(operator.is_, self._parts(model), self._of))

    @staticmethod
    def _parts(model):
        return [model.optimizer, model._loss_tracker, model.jit_compile]  # the second is made anew


def _functions(model):
    return {name: getattr(model, name) for name in _FUNCTIONS}


def _put(model, functions):
    for name, function in functions.items():
        setattr(model, name, function)


def steps_a_call(asked_for):
    """So many that Keras makes all the steps that are asked for, and none more."""
    if not asked_for:
        return STEPS_A_CALL
    most = math.gcd(*asked_for)
    return next(
        (steps for steps in range(STEPS_A_CALL, FEWEST_STEPS, -1) if most % steps == 0), most
    )
