"""A compiled Keras model as an engine of tfae's own, where that computes the same to the digit."""

import math

import keras
import tensorflow as tf

from tfae.engines import pick_engine
from tfae.keras_bridge.convert import stack_of
from tfae.keras_bridge.layers import NotPlain, dense_stack
from tfae.nn.network import Network
from tfae.nn.optimizers import SGD, Adadelta, Adam
from tfae.nn.precision import PRECISIONS
from tfae.nn.state import TrainState

_LOSSES = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "mse": keras.losses.MeanSquaredError,
    "mae": keras.losses.MeanAbsoluteError,
    "huber": keras.losses.Huber,
}
PROOF_ROWS = 64
# Of the loss of so many rows from equal weights, by other formulas; and by rounded products.
PROOF_RTOL = {"float32": 1e-4, "mixed_bfloat16": 3e-2, "mixed_float16": 3e-3}


def plain_engine(model, data, batch_size, precision, name, say):
    """The engine of tfae's own that updates the model's and the optimizer's variables in place.

    Args:
        model, data, batch_size, precision, say: As `compiled.runner_for` has them.
        name: Of the engine.

    Returns:
        (engine, reason), as `tfae.engines.pick_engine`.

    Raises:
        NotPlain: Keras computes something of this that the engines do not.
        ConfigError, TrainingError: As `pick_engine`.
    """
    if not data.is_plain():
        raise NotPlain("the rows have targets or weights of their own")
    if set(model.get_metrics_result()) != {"loss"}:
        raise NotPlain("it has metrics, which Keras computes")
    if model._compile_loss._user_loss_weights is not None:
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
    if not model.optimizer.built:
        raise NotPlain("its optimizer has no variables yet, which the engines work on")
    optimizer, settings = _optimizer_of(model.optimizer, variables)

    network = Network(stack_of(dense), [variable.value for variable in variables])
    state = TrainState(
        network.params,
        optimizer,
        slots=_slots(model.optimizer, variables, optimizer.slot_count),
        step=model.optimizer.iterations.value,
    )
    return pick_engine(
        name,
        network,
        loss,
        optimizer,
        _schedule_of(model.optimizer),
        batch_size=batch_size,
        precision=PRECISIONS[precision or dense.policy],
        state=state,
        say=say,
        **settings,
    )


def prove(model, runner, data):
    """Keep an engine only where it has Keras' loss of some rows.

    That shows most of what a condition above might have overlooked, though not how it updates.

    Raises:
        NotPlain: It has not.
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
        if loss.lower() in ("crossentropy", "ce"):
            raise NotPlain("the loss is a cross-entropy that Keras chooses by the outputs")
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
    except KeyError:  # which hinders training only
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
