"""A compiled Keras model as an engine of tfae's own, where that computes the same to the digit."""

import math

import keras
import tensorflow as tf

from tfae.engines import pick_engine
from tfae.keras_bridge.causes import Causes, a
from tfae.keras_bridge.convert import stack_of
from tfae.keras_bridge.layers import read_stack
from tfae.keras_bridge.overrides import OF_STEPS, overridden
from tfae.keras_bridge.targets import CHOSEN_BY_KERAS, loss_name
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
_FROM_LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)
PROOF_ROWS = 64
# Of the loss of so many rows from equal weights, by other formulas; and by rounded products.
PROOF_RTOL = {"float32": 1e-4, "mixed_bfloat16": 3e-2, "mixed_float16": 3e-3}


def own_engine(model, data, batch_size, precision, name, say):
    """The engine of tfae's own that updates the model's and the optimizer's variables in place.

    Args:
        model, data, batch_size, precision, say: As `compiled.runner_for` has them.
        name: Of the engine.

    Returns:
        (engine, reason), as `tfae.engines.pick_engine`.

    Raises:
        NotPlain: Keras computes something of this that the engines do not; all of it is named.
        ConfigError, TrainingError: As `pick_engine`.
    """
    causes = Causes()
    _check_data(data, causes)
    _check_steps(model, causes)
    dense = read_stack(model, causes)
    loss, dense = _loss_of(model, dense, causes)
    if dense is not None:
        _check_fits(model, data, dense, causes)
    optimizer, settings = _optimizer_of(model.optimizer, causes)
    rates = _schedule_of(model.optimizer, causes)
    causes.check()
    variables = dense.variables
    settings["weight_decay"] = _decay_of(model.optimizer, variables, causes)
    slots = _slots(model.optimizer, variables, optimizer.slot_count, causes)
    causes.check()

    network = Network(stack_of(dense), [variable.value for variable in variables])
    state = TrainState(
        network.params,
        optimizer,
        slots=slots,
        step=model.optimizer.iterations.value,
    )
    return pick_engine(
        name,
        network,
        loss,
        optimizer,
        rates,
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
    outputs = model(data.x, training=False)
    x, y, _ = data.for_keras(outputs.shape.rank)
    theirs = float(model.compute_loss(x, y, outputs, None, training=False))
    ours = runner.evaluate(runner.load(data))["loss"]
    allowed = PROOF_RTOL[runner.precision] * abs(theirs)
    if math.isfinite(theirs) and not abs(ours - theirs) <= allowed:
        causes = Causes()
        causes.add("its loss", f"is {ours:.6g} where Keras' is {theirs:.6g}")
        causes.check()


def _check_steps(model, causes):
    own = overridden(model, OF_STEPS)
    for part in own:
        causes.add(type(model).__name__, f"has a {part} of its own")
    known = {} if own else model.get_metrics_result()
    metrics = [repr(name) for name in known if name != "loss"]
    if metrics:
        causes.add("it", f"has metrics ({', '.join(metrics)})")
    if model._compile_loss and model._compile_loss._user_loss_weights is not None:
        causes.add("its loss", "has a weight")


def _check_data(data, causes):
    for side, arrays in (("inputs", data.x), ("outputs", data.y)):
        if isinstance(arrays, (list, tuple, dict)):
            causes.add("it", f"has several {side}")
    if data.y is None:
        causes.add("it", "has no targets")
    elif data.is_single() and data.y is not data.x:
        causes.add("y", "is other than x")
    if data.sample_weight is not None:
        causes.add("the rows", "have weights (sample_weight)")


def _check_fits(model, data, dense, causes):
    if len(dense.layers) < 2:
        causes.add("it", "has only one Dense layer")
    if not data.x.shape[1:] == model.input_shape[1:] == model.output_shape[1:]:
        causes.add("what it takes or gives", "has another shape than the rows")
    if dense.policy not in PRECISIONS or dense.policy == "mixed_float16":
        causes.add("the dtype policy", f"is {dense.policy}")
    # Layers that are named already have such weights, or have theirs frozen.
    trained = sorted(map(id, model.trainable_variables))
    if not causes and sorted(map(id, dense.variables)) != trained:
        causes.add("it", "has other weights than its Dense layers'")
    if not model.optimizer.built:
        causes.add("its optimizer", "has no variables yet, which the engines work on")


def _loss_of(model, dense, causes):
    """(name, stack): the loss as the engines have it, and the stack that ends in its sigmoid."""
    name = _loss_name(model.loss, causes)
    if name != "binary_crossentropy" or dense is None:
        return name, dense
    if not dense.in_float32:
        causes.add("the output that the cross-entropy is of", "is not in float32")
    last = dense.activations[-1]
    if _settings(keras.losses.get(model.loss)) == _settings(_FROM_LOGITS):
        if last not in ("linear", None):
            causes.add("the cross-entropy", f"is from_logits=True of a {last} activation")
        return name, dense._replace(activations=[*dense.activations[:-1], "sigmoid"])
    if last not in ("sigmoid", None):
        causes.add("the cross-entropy", f"is not of a sigmoid, but of a {last} activation")
    if last == "sigmoid" and dense.hidden_by:
        causes.add(
            f"layer {dense.hidden_by!r}",
            "hides the sigmoid, whose logits Keras' cross-entropy then does not find",
            f"leave {dense.hidden_by!r} out and flatten the rows instead, or end in a linear layer "
            "and compile with BinaryCrossentropy(from_logits=True)",
        )
    return name, dense


def _loss_name(loss, causes):
    if loss is None or isinstance(loss, (list, tuple, dict)):
        causes.add("the loss", f"is {'none' if loss is None else a(type(loss))}")
        return None
    if isinstance(loss, str):
        if loss.lower() in CHOSEN_BY_KERAS:
            causes.add("the loss", "is a cross-entropy that Keras chooses by the outputs")
            return None
        loss = keras.losses.get(loss)
    for name, kind in _LOSSES.items():
        if loss is keras.losses.get(name) or type(loss) is kind:
            plain = [kind(), *([_FROM_LOGITS] if type(loss) is type(_FROM_LOGITS) else [])]
            if type(loss) is kind and _settings(loss) not in map(_settings, plain):
                causes.add("the loss", f"is {kind.__name__} with {_other_settings(loss, kind())}")
            return name
    causes.add("the loss", f"is {loss_name(loss)}")
    return None


def _settings(loss):
    # Not all of them are in the configuration.
    if not isinstance(loss, keras.losses.Loss):
        return None
    return {**loss.get_config(), "name": None}, loss._fn_kwargs, loss.dtype


def _other_settings(loss, plain):
    """Those that are not as they come, as they are written."""
    (config, keywords, _), (others, other_keywords, _) = _settings(loss), _settings(plain)
    given = {**config, **keywords, "dtype": loss.dtype}
    usual = {**others, **other_keywords, "dtype": plain.dtype}
    return ", ".join(f"{name}={value!r}" for name, value in given.items() if value != usual[name])


def _optimizer_of(optimizer, causes):
    """The optimizer as tfae has it, or None, and what an engine is told of it besides."""
    kind = type(optimizer)
    ours = None
    if kind is keras.optimizers.Adadelta:
        ours = Adadelta(optimizer.rho, optimizer.epsilon)
    elif kind in (keras.optimizers.Adam, keras.optimizers.AdamW):
        ours = Adam(optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)
        if optimizer.amsgrad:
            causes.add("the optimizer", f"is {kind.__name__} with amsgrad=True")
    elif kind is keras.optimizers.SGD:
        ours = SGD(optimizer.momentum, optimizer.nesterov)
    else:
        causes.add("the optimizer", f"is {kind.__name__}")
    for option in ("clipnorm", "clipvalue", "loss_scale_factor", "gradient_accumulation_steps"):
        if getattr(optimizer, option) is not None:
            causes.add("the optimizer", f"has a {option}")
    if optimizer.use_ema:
        causes.add("the optimizer", "keeps averages of the weights")
    return ours, {"clip_norm": optimizer.global_clipnorm or 0.0}


def _decay_of(optimizer, variables, causes):
    decay = optimizer.weight_decay or 0.0
    if decay and not all(optimizer._use_weight_decay(variable) for variable in variables):
        causes.add("some weights", "do not decay")
    return decay


def _slots(optimizer, variables, kinds, causes):
    """Of each parameter the optimizer's variables, which stand last, in its own order."""
    try:
        places = [optimizer._get_variable_index(variable) for variable in variables]
    except KeyError:  # which hinders training only
        causes.add("its optimizer", "was built for other weights")
        return None
    first = len(optimizer.variables) - kinds * len(optimizer._trainable_variables)
    slots = [variable.value for variable in optimizer.variables[first:]]
    return [slots[kinds * place : kinds * (place + 1)] for place in places]


def _schedule_of(optimizer, causes):
    """A function from steps to learning rates, which reads a rate that callbacks may change."""
    # The property `learning_rate` gives a schedule's value, and not the schedule.
    rate = optimizer._learning_rate
    if isinstance(rate, keras.Variable):
        return lambda step: tf.fill(tf.shape(step), rate.value)
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        causes.add("the learning rate", "is a function")
        return None

    # Compiled: a few hundred small ops a step of plain TensorFlow would take as long as training.
    @tf.function(jit_compile=True, autograph=False)
    def rates(steps):
        return tf.map_fn(
            lambda step: tf.cast(rate(step), tf.float32), steps, fn_output_signature=tf.float32
        )

    return lambda step: rates(step) if step.shape.rank else tf.cast(rate(step), tf.float32)
