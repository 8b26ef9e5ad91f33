"""A compiled Keras model: whether it is taken, and what trains it."""

import operator

import keras

from tfae.config import ENGINES
from tfae.host import console
from tfae.host.environment import visible_gpus
from tfae.keras_bridge.causes import Causes, LeftToFit, NotPlain
from tfae.keras_bridge.layers import leaf_layers
from tfae.keras_bridge.overrides import OF_FUNCTIONS, OF_STEPS, has_targets, overridden
from tfae.keras_bridge.own_engine import own_engine, prove
from tfae.keras_bridge.rows import Data
from tfae.keras_bridge.runners import PlainRunner, build, build_optimizer
from tfae.keras_bridge.steps import KerasRunner, ProgramRunner
from tfae.nn.precision import PRECISIONS
from tfae.programs.program import NotTaken


def check_taken(model):
    """Refuse what is no compiled model, or one whose epochs are not so many of Keras' own steps.

    Raises:
        ValueError: It is no model that can be trained.
        LeftToFit: Keras' own `fit` can train it; all that hinders is named.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got a {type(model).__name__}")
    if not model.compiled:
        raise ValueError("the model is not compiled: call model.compile(optimizer=..., loss=...)")
    if model.optimizer is None:
        raise ValueError("the model has no optimizer: give compile() one")
    causes = Causes()
    _check_model(model, causes)
    if causes:
        raise LeftToFit(causes)


def _check_model(model, causes):
    """Add what hinders the model as a whole."""
    if keras.backend.backend() != "tensorflow":
        causes.add("Keras", f"runs on {keras.backend.backend()}")
    if model.run_eagerly:
        causes.add(
            "the model",
            "is compiled with run_eagerly=True, and an epoch is one call here",
        )
    if any(getattr(layer, "stateful", False) for layer in model._flatten_layers()):
        causes.add("the model", "keeps a state from batch to batch")
    if model._distribute_strategy is not None:
        causes.add("the model", "was made under a tf.distribute strategy")
    for name in overridden(model, OF_FUNCTIONS):
        causes.add(type(model).__name__, f"has a {name} of its own")


def data_for(model, x, y=None, sample_weight=None, class_weight=None):
    """The `Data` of arguments as `fit` has them, for a model.

    Raises:
        ValueError, LeftToFit: As `Data.of`.
    """
    sides = (getattr(model, side, None) or [None] for side in ("inputs", "outputs"))
    options = {"arrays": tuple(map(len, sides)), "has_targets": has_targets(model)}
    return Data.of(x, y, sample_weight, class_weight, **options)


class _Kept:
    """The runners of a compiled model, kept with it as Keras keeps its own compiled functions."""

    def __init__(self, model):
        self._of = self._parts(model)
        self.runners = {}

    def is_of(self, model):
        """Whether the model is what it was: with these weights, and not compiled since."""
        now = self._parts(model)
        return len(now) == len(self._of) and all(map(operator.is_, now, self._of))

    @staticmethod
    def _parts(model):
        # compile() makes the loss' metric anew; quantize() and pop() put other weights in.
        weights = (variable.value for variable in model.variables)
        return [model._loss_tracker, model.optimizer, *leaf_layers(model), *weights]


def runner_for(
    model, data, batch_size, precision=None, engine="auto", say=console.say, trains=True
):
    """What trains and evaluates the model in place: a runner.

    As with Keras' own, what `compile` was given holds until the next `compile`.

    Args:
        model: A compiled Keras model that `check_taken` lets pass; it is built if it was not.
        data: The `Data` of training, or of evaluation.
        batch_size: B.
        precision: A name, or None for that of the model's dtype policy.
        engine: "auto", "xla" or "fused".
        say: Called with a line where something takes long.
        trains: Whether it is to train; if not, the model's optimizer is not built for it.

    Raises:
        ValueError: The engine or the precision that was asked for cannot be had for this model.
        TrainingError: The engine that was asked for cannot be built on this machine.
    """
    for name, value, allowed in (
        ("engine", engine, ENGINES),
        ("precision", precision, (None, *PRECISIONS)),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")
    output_rank, has_own_steps = build(model, data), bool(overridden(model, OF_STEPS))
    if trains and not has_own_steps:
        build_optimizer(model)
    kept = getattr(model, "_tfae_kept", None)
    if not kept or not kept.is_of(model):
        kept = model._tfae_kept = _Kept(model)
    precision = precision or model.dtype_policy.name
    of_call = (data.is_plain(), data.structure(), batch_size, precision, engine)
    key = (*of_call, model.optimizer.built)
    if key not in kept.runners:
        made = _make_runner(model, data, output_rank, batch_size, precision, engine, say, trains)
        if has_own_steps:  # which is built by now
            kept, key = _Kept(model), (*of_call, model.optimizer.built)
            model._tfae_kept = kept
        kept.runners[key] = made
    return kept.runners[key]


def _make_runner(model, data, output_rank, batch_size, precision, engine, say, trains):
    try:
        made = own_engine(model, data, batch_size, precision, engine, say)
        runner = PlainRunner(*made, data.x.shape[1:], model.metrics[0])
        prove(model, runner, data)
        return runner
    except NotPlain as error:
        reason = str(error)
    of_model = model, batch_size, output_rank
    if engine != "xla" and precision == model.dtype_policy.name and not visible_gpus():
        try:
            return ProgramRunner(*of_model, reason, data, trains, say)
        except NotTaken as error:
            reason += f", its step has {error}"
    if engine == "fused":
        raise ValueError(f"engine='fused' does not take this model: {reason}; use engine='auto'")
    if precision != model.dtype_policy.name:
        raise ValueError(
            f"precision={precision!r} is not to be had for this model ({reason}): build it after "
            f"keras.mixed_precision.set_dtype_policy({precision!r})"
        )
    made = KerasRunner(*of_model, reason)
    if output_rank is None:
        made.trace("train_step" if trains else "test_step", made.load(data.rows(slice(1))))
    return made
