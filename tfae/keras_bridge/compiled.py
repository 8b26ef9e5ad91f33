"""A compiled Keras model: whether it is taken, and what trains it."""

import math
import operator

import keras
import tensorflow as tf

from tfae import console
from tfae.config import ENGINES
from tfae.engines import pick_engine
from tfae.keras_bridge.convert import stack_of
from tfae.keras_bridge.layers import TAKEN, NotPlain, dense_stack, leaf_layers
from tfae.keras_bridge.runners import KerasRunner, PlainRunner, build
from tfae.model import Autoencoder
from tfae.optimizers import SGD, Adadelta, Adam
from tfae.precision import PRECISIONS
from tfae.state import TrainState

_LOSSES = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "mse": keras.losses.MeanSquaredError,
    "mae": keras.losses.MeanAbsoluteError,
    "huber": keras.losses.Huber,
}
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
_WAY_OUT = "train this model with model.fit"
PROOF_ROWS = 64
# Of the loss of so many rows from equal weights, by other formulas; and by rounded products.
PROOF_RTOL = {"float32": 1e-4, "mixed_bfloat16": 3e-2, "mixed_float16": 3e-3}


def check_taken(model):
    """Refuse a model that is none of a compiled dense autoencoder's.

    Raises:
        ValueError: It names the layer or the setting, and what to do.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow before keras "
            "is imported"
        )
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got a {type(model).__name__}")
    if not model.compiled:
        raise ValueError("the model is not compiled: call model.compile(optimizer=..., loss=...)")
    if model.run_eagerly:
        raise ValueError(
            "the model is compiled with run_eagerly=True, and an epoch is one compiled call here: "
            "leave that out, or " + _WAY_OUT
        )
    for side in ("inputs", "outputs"):
        if len(getattr(model, side, None) or [None]) > 1:
            raise ValueError(f"the model has several {side}: {_WAY_OUT}")
    if model._distribute_strategy is not None:
        raise ValueError(f"the model was made under a tf.distribute strategy: {_WAY_OUT}")
    for name in _OVERRIDABLE:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise ValueError(f"{type(model).__name__} has a {name} of its own: {_WAY_OUT}")
    for layer in leaf_layers(model):
        if type(layer) not in TAKEN:
            raise ValueError(
                f"layer {layer.name!r} is a {type(layer).__name__} layer, which tfae.fit does not "
                f"take: {_WAY_OUT}"
            )
    if not isinstance(model.loss, str) and not _is_keras_own(model.loss):
        given = "none" if model.loss is None else getattr(model.loss, "__name__", model.loss)
        raise ValueError(
            f"the loss is {given}; give compile() the name of one of Keras' losses or a "
            f"keras.losses object, or {_WAY_OUT}"
        )


def _is_keras_own(loss):
    kind = loss if hasattr(loss, "__name__") else type(loss)
    return kind.__module__.startswith("keras.") and callable(loss)


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
        return [model.metrics[0], model.optimizer, *(v.value for v in model.variables)]


def runner_for(model, data, batch_size, precision=None, engine="auto", say=console.say):
    """What trains and evaluates the model in place: a `PlainRunner` or a `KerasRunner`.

    As with Keras' own, what `compile` was given holds until the next `compile`.

    Args:
        model: A compiled Keras model that `check_taken` lets pass; it is built if it was not.
        data: The `Data` of training, or of evaluation.
        batch_size: B.
        precision: A name, or None for that of the model's dtype policy.
        engine: "auto", "xla" or "fused".
        say: Called with a line where something takes long.

    Raises:
        ValueError: The engine or the precision that was asked for cannot be had for this model.
        TrainingError: The engine that was asked for cannot be built on this machine.
    """
    build(model, data)
    kept = getattr(model, "_tfae_kept", None)
    if not kept or not kept.is_of(model):
        kept = model._tfae_kept = _Kept(model)
    key = (data.is_plain(), data.x.shape[1:], batch_size, precision, engine)
    if key not in kept.runners:
        kept.runners[key] = _make_runner(model, data, batch_size, precision, engine, say)
    return kept.runners[key]


def _make_runner(model, data, batch_size, precision, engine, say):
    for name, value, allowed in (
        ("engine", engine, ENGINES),
        ("precision", precision, (None, *PRECISIONS)),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")
    try:
        runner = PlainRunner(*_plain_engine(model, data, batch_size, precision, engine, say))
        _prove(model, runner, data)
        return runner
    except NotPlain as error:
        reason = str(error)
    if engine == "fused":
        raise ValueError(f"engine='fused' does not take this model: {reason}; use engine='auto'")
    if precision not in (None, model.dtype_policy.name):
        raise ValueError(
            f"precision={precision!r} is not to be had for this model ({reason}): build it after "
            f"keras.mixed_precision.set_dtype_policy({precision!r})"
        )
    return KerasRunner(model, batch_size, reason)


def _plain_engine(model, data, batch_size, precision, name, say):
    """The engine of tfae's own that updates the model's and the optimizer's variables in place."""
    if not data.is_plain():
        raise NotPlain("the rows have targets or weights of their own")
    if set(model.get_metrics_result()) != {"loss"}:
        raise NotPlain("it has metrics, which Keras computes")
    if model.get_compile_config()["loss_weights"] is not None:
        raise NotPlain("its loss has a weight")
    loss = _loss_name(model.loss)
    dense = dense_stack(model)
    if len(dense.layers) < 2:
        raise NotPlain("it has only one Dense layer")
    if loss == "binary_crossentropy" and not dense.shows_sigmoid:
        raise NotPlain("the cross-entropy is not of a sigmoid in float32 that comes last")
    if not data.x.shape[1:] == model.input_shape[1:] == model.output_shape[1:]:
        raise NotPlain("what it takes or gives has another shape than the rows")
    if dense.policy not in PRECISIONS or dense.policy == "mixed_float16":
        raise NotPlain(f"the dtype policy is {dense.policy}")
    variables = dense.variables
    if sorted(map(id, variables)) != sorted(map(id, model.trainable_variables)):
        raise NotPlain("it has other weights than its Dense layers'")
    optimizer, settings = _optimizer_of(model.optimizer, variables)

    autoencoder = Autoencoder(stack_of(dense), params=[variable.value for variable in variables])
    state = TrainState(
        autoencoder,
        optimizer,
        slots=_slots(model.optimizer, variables, optimizer.slot_count),
        step=model.optimizer.iterations.value,
    )
    return pick_engine(
        name,
        autoencoder,
        loss,
        optimizer,
        _schedule_of(model.optimizer),
        batch_size=batch_size,
        precision=PRECISIONS[precision or dense.policy],
        state=state,
        say=say,
        **settings,
    )


def _prove(model, runner, data):
    """Keep an engine only where it has Keras' loss of some rows.

    That shows most of what a condition above might have overlooked, though not how it updates.
    """
    data = data.rows(slice(PROOF_ROWS))
    x, y, _ = data.for_keras()
    theirs = float(model.compute_loss(x, y, model(x, training=False), None, training=False))
    ours = runner.evaluate(runner.load(data))["loss"]
    allowed = PROOF_RTOL[runner.precision] * abs(theirs)
    if math.isfinite(theirs) and not abs(ours - theirs) <= allowed:
        raise NotPlain(f"its loss is {ours:.6g} where Keras' is {theirs:.6g}")


def _loss_name(loss):
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    for name, kind in _LOSSES.items():
        as_compiled = type(loss) is kind and _settings(loss) == _settings(kind())
        if as_compiled or loss is keras.losses.get(name):
            return name
    raise NotPlain("the loss, or a setting of it, is none of tfae's")


def _settings(loss):
    # Not all of them are in the configuration.
    return {**loss.get_config(), "name": None}, loss._fn_kwargs, loss.dtype


def _optimizer_of(optimizer, variables):
    """The optimizer as tfae has it, and what an engine is told of it besides."""
    kind = type(optimizer)
    if kind is keras.optimizers.Adadelta:
        ours = Adadelta(optimizer.rho, optimizer.epsilon)
    elif kind in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad:
        ours = Adam(optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)
    elif kind is keras.optimizers.SGD:
        ours = SGD(optimizer.momentum, optimizer.nesterov)
    else:
        raise NotPlain(f"the optimizer {optimizer.name!r} is none of tfae's")
    for option in ("clipnorm", "clipvalue", "loss_scale_factor", "gradient_accumulation_steps"):
        if getattr(optimizer, option) is not None:
            raise NotPlain(f"the optimizer has a {option}")
    if optimizer.use_ema:
        raise NotPlain("the optimizer keeps averages of the weights")
    decay = optimizer.weight_decay or 0.0
    if decay and not all(optimizer._use_weight_decay(variable) for variable in variables):
        raise NotPlain("some weights do not decay")
    return ours, {"weight_decay": decay, "clip_norm": optimizer.global_clipnorm or 0.0}


def _slots(optimizer, variables, kinds):
    """Of each parameter the optimizer's variables, which stand last, in its own order."""
    try:
        places = [optimizer._get_variable_index(variable) for variable in variables]
    except KeyError:
        raise NotPlain("its optimizer was built for other weights") from None
    first = len(optimizer.variables) - kinds * len(optimizer._trainable_variables)
    slots = [variable.value for variable in optimizer.variables[first:]]
    return [slots[kinds * place : kinds * (place + 1)] for place in places]


def _schedule_of(optimizer):
    """A function from steps to learning rates, which reads a rate that callbacks may change."""
    # The property `learning_rate` gives a schedule's value, and not the schedule.
    rate = optimizer._learning_rate
    if isinstance(rate, keras.Variable):
        return lambda step: tf.fill(tf.shape(step), rate.value)
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        raise NotPlain("the learning rate is a function")

    # Compiled: a few hundred small ops a step of plain TensorFlow would take as long as training.
    @tf.function(jit_compile=True, autograph=False)
    def rates(steps):
        return tf.map_fn(
            lambda step: tf.cast(rate(step), tf.float32), steps, fn_output_signature=tf.float32
        )

    return lambda step: rates(step) if step.shape.rank else tf.cast(rate(step), tf.float32)
