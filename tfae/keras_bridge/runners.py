"""What trains a Keras model: one of tfae's engines, or an epoch of Keras' own step."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from tfae.host.environment import visible_gpus
from tfae.keras_bridge.costs import is_worth_compiling
from tfae.keras_bridge.draws import by_philox
from tfae.keras_bridge.failures import compiling, in_words, said_of
from tfae.keras_bridge.layers import is_for_xla
from tfae.keras_bridge.overrides import OF_STEPS, overridden
from tfae.keras_bridge.rows import as_bytes
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


class KerasRunner:
    """A whole epoch of Keras' own step as one call.

    It is for what tfae's engines do not compute: other targets than the rows, weights of rows,
    metrics, regularizers, noise, other optimizers and losses, several inputs, steps of somebody's
    own. Layers, losses, metrics and optimizers are Keras'; what is saved is the way in and out of
    every step. Where that many steps are to be made that it pays, XLA compiles them; else
    TensorFlow runs them as a graph.

    Attributes:
        compiled: Whether XLA compiles what is called next.

    Args:
        model: A compiled Keras model that `build` has built.
        batch_size: B, rows a step.
        output_rank: Of what the model gives for rows, N included; a list of these where it gives
            several, None where its steps are somebody's own.
        reason: Why no engine of tfae's was taken, a phrase.
    """

    engine = "keras"

    def __init__(self, model, batch_size, output_rank, reason):
        self._model = model
        self._batch_size = batch_size
        self._output_rank = output_rank
        self.reason = reason
        self._logs = {}  # by the name of a step of somebody's own, what it returns
        # A graph on a GPU is a launch for every operation.
        self.compiled = bool(visible_gpus())
        self._is_refused_by_xla = not is_for_xla(model)

    def expect(self, epochs, row_count):
        """Have XLA compile where so many epochs of so many rows are worth it.

        What it has compiled once stays so: that costs nothing any more.
        """
        if not self.compiled and not self._is_refused_by_xla:
            self.compiled = is_worth_compiling(
                self._model.trainable_variables, epochs, row_count, self._batch_size
            )

    def load(self, data):
        """What Keras' `fit` has of x, y and sample_weight, as tensors."""
        x, y, sample_weight = data.for_keras(self._output_rank)
        inputs = _each(tf.constant, x)
        targets = inputs if y is x else _each(tf.constant, y)
        weights = _each(tf.constant, sample_weight)
        return keras.utils.pack_x_y_sample_weight(inputs, targets, weights)

    def trace(self, step, data):
        """Have a step of somebody's own make its variables, and learn what it returns.

        Args:
            step: "train_step" or "test_step".
            data: Of `load`.
        """
        batch = _each(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), data)
        with compiling():
            traced = tf.function(getattr(self._model, step), autograph=False)
            self._logs[step] = traced.get_concrete_function(batch).structured_outputs

    def takes(self, data):
        """Whether other data than those it was made for can be loaded."""
        return True

    def train_epoch(self, data, order):
        """Train once on every row, in this order; the means of loss and metrics, by name."""
        return self._call("train_step", data, order)

    def evaluate(self, data):
        """The means of loss and metrics, by name."""
        return self._call("test_step", data)

    def _call(self, step, *args):
        if overridden(self._model, OF_STEPS) and step not in self._logs:
            self.trace(step, args[0])
        self._model.reset_metrics()
        return self._means(self._run(step, *args))

    def _run(self, step, *args):
        by_xla, as_graph = self._functions[step]
        with compiling():
            if self.compiled:
                try:
                    return by_xla(*args)
                except tf.errors.ResourceExhaustedError:
                    raise
                except tf.errors.OpError as error:  # before anything of it has run
                    self.compiled, self._is_refused_by_xla = False, True
                    self.reason += f"; as a graph, since XLA does not compile it: {in_words(error)}"
                    self._model.reset_metrics()
            return as_graph(*args)

    @by_philox()
    def _train(self, data, order):
        def step(first, count):
            rows = tf.slice(order, [first], [count])
            with _alone(self._model.optimizer):
                return self._model.train_step(_each(lambda part: tf.gather(part, rows), data))

        return self._batches(order.shape[0], step, self._logs.get("train_step"))

    @by_philox()
    def _test(self, data):
        def step(first, count):
            rows = tf.range(count) + first
            return self._model.test_step(_each(lambda part: tf.gather(part, rows), data))

        row_count = tf.nest.flatten(data)[0].shape[0]
        return self._batches(row_count, step, self._logs.get("test_step"))

    _train_by_xla, _test_by_xla = (
        tf.function(part, jit_compile=True, autograph=False) for part in (_train, _test)
    )
    _train_as_graph, _test_as_graph = (
        tf.function(part, autograph=False) for part in (_train, _test)
    )

    @property
    def _functions(self):
        """Of each step (compiled by XLA, as a graph)."""
        return {
            "train_step": (self._train_by_xla, self._train_as_graph),
            "test_step": (self._test_by_xla, self._test_as_graph),
        }

    def _batches(self, row_count, step, logs):
        """`step(first, count)` for every batch, the last of which may be short.

        Returns:
            What the last returned, where `logs` has its like; else nothing.
        """
        batch_size = min(self._batch_size, row_count)
        whole = row_count // batch_size
        rest = row_count - whole * batch_size
        steps = whole if self.compiled else whole + bool(rest)

        def kept(made):
            return made if logs else {}

        def body(batch, _):
            first, count = batch * batch_size, batch_size
            if rest and not self.compiled:  # a graph's batches may differ in size
                count = tf.minimum(batch_size, row_count - first)
            return batch + 1, kept(step(first, count))

        # One after the other, as Keras has them: what a layer draws is in that order.
        one_by_one = {} if self.compiled else {"parallel_iterations": 1}
        blank = _each(lambda part: tf.zeros(part.shape, part.dtype), logs or {})
        _, made = tf.while_loop(lambda batch, _: batch < steps, body, (0, blank), **one_by_one)
        if rest and self.compiled:
            made = kept(step(whole * batch_size, rest))
        return made

    def _means(self, logs):
        logs = self._model._get_metrics_result_or_logs(logs or self._model.get_metrics_result())
        means = {name: np.asarray(mean) for name, mean in logs.items()}
        return {name: mean if mean.ndim else float(mean) for name, mean in means.items()}


@contextlib.contextmanager
def _alone(optimizer):
    """Without the sum of gradients over replicas, of which there is one.

    Of every sum TensorFlow keeps the graph, and what is around it, as long as the process lives.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    optimizer._all_reduce_sum_gradients = lambda grads_and_variables: grads_and_variables
    try:
        yield
    finally:
        del optimizer._all_reduce_sum_gradients


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
    outputs = outputs_for(model, data)
    single = tf.is_tensor(outputs)
    if single and data.is_single():
        check_targets(model.loss, data, outputs.shape)
    ranks = outputs.shape.rank if single else [part.shape.rank for part in tf.nest.flatten(outputs)]
    x, y, sample_weight = probed(data).for_keras(ranks)
    shapes = _each(lambda part: tuple(part.shape), [y, outputs])
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


def _each(function, parts):
    """The function's results of what lists and dicts hold; of None it is None."""
    return tf.nest.map_structure(lambda part: None if part is None else function(part), parts)
