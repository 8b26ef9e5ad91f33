"""One of tfae's engines at work on a Keras model."""

import tensorflow as tf

from tfae.keras_bridge.failures import compiling, said_of
from tfae.keras_bridge.overrides import OF_STEPS, overridden
from tfae.keras_bridge.rows import as_bytes, each
from tfae.keras_bridge.targets import check_targets, outputs_for, probed


def _is_worth_saying(record):
    """Every model's functions are new ones to TensorFlow, which takes that for a mistake."""
    message = record.getMessage()
    return "triggered tf.function retracing" not in message or not any(
        name in message for name in ("Engine.train_epoch", "Engine.evaluate", "KerasRunner._")
    )


tf.get_logger().addFilter(_is_worth_saying)


class PlainRunner:
    """One of tfae's engines at work on the variables of a Keras model.

    Args:
        engine: The engine.
        reason: Why it was taken, a phrase.
        row_shape: Of a row as the model has it.
        loss_metric: The model's `keras.metrics.Mean` of the loss, which callbacks may read.
    """

    def __init__(self, engine, reason, row_shape, loss_metric):
        self._engine = engine
        self._row_shape = row_shape
        self._loss_metric = loss_metric
        self.engine = engine.name
        self.precision = engine.precision.name
        self.reason = reason

    def load(self, data):
        """The rows [N, D] as a tensor: bytes where they are images / 255, float32 otherwise."""
        rows = data.x.reshape(len(data.x), -1).astype("float32", copy=False)
        packed = as_bytes(rows)
        return tf.constant(rows if packed is None else packed)

    def takes(self, data):
        """Whether other data than those it was made for can be loaded."""
        return data.is_plain() and data.x.shape[1:] == self._row_shape

    def expect(self, epochs, row_count):
        """Nothing depends on how much is to be trained."""

    def train_epoch(self, rows, order):
        """Train once on every row, in this order; the losses' mean, by name."""
        with compiling():
            return self._mean(self._engine.train_epoch(rows, order))

    def evaluate(self, rows):
        """The losses' mean, by name."""
        with compiling():
            return self._mean(self._engine.evaluate(rows))

    def _mean(self, loss):
        self._loss_metric.total.assign(loss)
        self._loss_metric.count.assign(1)
        return {"loss": float(loss)}


def build(model, data):
    """Have the model make its variables, its layers' and its metrics', by the first rows.

    Steps of somebody's own build what they need as they are traced.

    Returns:
        The rank of what it gives for rows, N included, a list of these where that is several; None
        where its steps are somebody's own.

    Raises:
        ValueError: The rows or their targets are not the model's.
    """
    if overridden(model, OF_STEPS):
        return None
    # What the layers draw from is as it was: Keras trains without this look at the rows.
    seeds = [seed.state for layer in model._flatten_layers() for seed in layer._seed_generators]
    before = [seed.numpy() for seed in seeds]
    outputs = outputs_for(model, data)
    for seed, value in zip(seeds, before, strict=True):
        seed.assign(value)
    single = tf.is_tensor(outputs)
    if single and data.is_single():
        check_targets(model.loss, data, outputs.shape)
    ranks = outputs.shape.rank if single else [part.shape.rank for part in tf.nest.flatten(outputs)]
    x, y, sample_weight = probed(data).for_keras(ranks)
    shapes = each(lambda part: tuple(part.shape), [y, outputs])
    of_these = "cannot be had of y {} and outputs {}".format(*shapes)
    with said_of(f"the loss {of_these}"):
        model.compute_loss(x, y, outputs, sample_weight, training=False)
    with said_of(f"the metrics {of_these}"):
        model.compute_metrics(x, y, outputs, sample_weight)
    model.reset_metrics()
    return ranks


def build_optimizer(model):
    """Have the optimizer make its variables.

    Raises:
        ValueError: It has those of another model's weights.
    """
    variables = model.trainable_variables
    if not model.optimizer.built:
        model.optimizer.build(variables)
    try:
        for variable in variables:
            model.optimizer._get_variable_index(variable)
    except KeyError:
        raise ValueError(
            "the optimizer was built for other weights than the model's: compile it with a new one"
        ) from None
