"""A compiled Keras model: whether it is taken, and what trains it."""

import operator

import keras

from tfae.config import ENGINES
from tfae.host import console
from tfae.keras_bridge.causes import Causes, LeftToFit, NotPlain
from tfae.keras_bridge.layers import leaf_layers
from tfae.keras_bridge.own_engine import own_engine, prove
from tfae.keras_bridge.runners import KerasRunner, PlainRunner, build, build_optimizer
from tfae.nn.precision import PRECISIONS

_OVERRIDABLE = (
    "train_step",
    "test_step",
    "make_train_function",
    "make_test_function",
    "compute_loss",
    "compute_metrics",
    "metrics",
    "reset_metrics",
    "get_metrics_result",
)


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
    for kind in (type(None), list, tuple, dict):
        if isinstance(model.loss, kind):
            causes.add("the loss", f"is {'none' if model.loss is None else f'a {kind.__name__}'}")
    if isinstance(getattr(model, "output", None), dict):
        causes.add("the model's output", "has a name")
    for side in ("inputs", "outputs"):
        if len(getattr(model, side, None) or [None]) > 1:
            causes.add("the model", f"has several {side}")
    if model._distribute_strategy is not None:
        causes.add("the model", "was made under a tf.distribute strategy")
    for name in _OVERRIDABLE:
        if not is_keras_own(model, name):
            causes.add(type(model).__name__, f"has a {name} of its own")


def is_keras_own(model, name):
    """Whether a method or property of a model is that of `keras.Model`."""
    return getattr(type(model), name) is getattr(keras.Model, name) and name not in vars(model)


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
        return [model.metrics[0], model.optimizer, *leaf_layers(model), *weights]


def runner_for(
    model, data, batch_size, precision=None, engine="auto", say=console.say, trains=True
):
    """What trains and evaluates the model in place: a `PlainRunner` or a `KerasRunner`.

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
    output_rank = build(model, data)
    if trains:
        build_optimizer(model)
    kept = getattr(model, "_tfae_kept", None)
    if not kept or not kept.is_of(model):
        kept = model._tfae_kept = _Kept(model)
    precision = precision or model.dtype_policy.name
    of_data = data.is_plain(), data.x.shape[1:]
    key = (*of_data, batch_size, precision, engine, model.optimizer.built)
    if key not in kept.runners:
        kept.runners[key] = _make_runner(
            model, data, output_rank, batch_size, precision, engine, say
        )
    return kept.runners[key]


def _make_runner(model, data, output_rank, batch_size, precision, engine, say):
    try:
        made = own_engine(model, data, batch_size, precision, engine, say)
        runner = PlainRunner(*made, data.x.shape[1:], model.metrics[0])
        prove(model, runner, data)
        return runner
    except NotPlain as error:
        reason = str(error)
    if engine == "fused":
        raise ValueError(f"engine='fused' does not take this model: {reason}; use engine='auto'")
    if precision != model.dtype_policy.name:
        raise ValueError(
            f"precision={precision!r} is not to be had for this model ({reason}): build it after "
            f"keras.mixed_precision.set_dtype_policy({precision!r})"
        )
    return KerasRunner(model, batch_size, output_rank, reason)
