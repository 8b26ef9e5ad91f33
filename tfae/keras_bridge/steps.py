"""An epoch of Keras' own step, or of a model's, as one call."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from tfae.host.environment import visible_gpus
from tfae.keras_bridge.costs import is_worth_compiling
from tfae.keras_bridge.draws import by_philox
from tfae.keras_bridge.failures import compiling, in_words
from tfae.keras_bridge.layers import is_for_xla
from tfae.keras_bridge.overrides import OF_STEPS, overridden
from tfae.keras_bridge.rows import each
from tfae.programs.program import NotTaken, Program


class StepRunner:
    """What makes Keras' own steps, one a batch.

    They are for what tfae's engines do not compute: other targets than the rows, weights of rows,
    metrics, regularizers, noise, other optimizers and losses, several inputs, steps of somebody's
    own. Layers, losses, metrics and optimizers are Keras'; what is saved is the way in and out of
    every step.

    Args:
        model: A compiled Keras model that `build` has built.
        batch_size: B, rows a step.
        output_rank: Of what the model gives for rows, N included; a list of these where it gives
            several, None where its steps are somebody's own.
        reason: Why no engine of tfae's was taken, a phrase.
    """

    def __init__(self, model, batch_size, output_rank, reason):
        self._model = model
        self._batch_size = batch_size
        self._output_rank = output_rank
        self.reason = reason
        # What Keras' own steps return is in the metrics.
        self._has_logs = bool(overridden(model, OF_STEPS))

    def load(self, data):
        """What Keras' `fit` has of x, y and sample_weight, as tensors."""
        x, y, sample_weight = data.for_keras(self._output_rank)
        inputs = each(tf.constant, x)
        targets = inputs if y is x else each(tf.constant, y)
        weights = each(tf.constant, sample_weight)
        return keras.utils.pack_x_y_sample_weight(inputs, targets, weights)

    def train_epoch(self, data, order):
        """Train once on every row, in this order; the means of loss and metrics, by name."""
        return self._run("train_step", data, order)

    def evaluate(self, data):
        """The means of loss and metrics, by name."""
        return self._run("test_step", data, tf.range(_row_count(data)))

    def _run(self, step, data, order):
        self._model.reset_metrics()
        with compiling():
            logs = self._call(step, data, order)
        logs = self._model._get_metrics_result_or_logs(logs or self._model.get_metrics_result())
        means = {name: np.asarray(mean) for name, mean in logs.items()}
        return {name: mean if mean.ndim else float(mean) for name, mean in means.items()}


class ProgramRunner(StepRunner):
    """Runs the steps as a program of the native kernels: nothing is compiled.

    Args:
        model, batch_size, output_rank, reason: As in `StepRunner`.
        data: The `Data` that is trained on, or evaluated.
        trains: Whether it is to train.
        say: Called with a line where something takes long.

    Raises:
        NotTaken: The step computes something that the kernels do not have.
    """

    engine = "fused"

    def __init__(self, model, batch_size, output_rank, reason, data, trains, say):
        super().__init__(model, batch_size, output_rank, reason)
        self._structure, self._say, self._programs, self._other = data.structure(), say, {}, None
        with compiling():
            step = "train_step" if trains else "test_step"
            self._program(step, self.load(data.rows(slice(1))), len(data))

    def takes(self, data):
        """Whether other data than those it was made for can be loaded."""
        return data.structure() == self._structure

    def expect(self, epochs, row_count):
        """Nothing depends on how much is to be trained."""

    def _call(self, step, data, order):
        try:
            program, tables = self._program(step, data, order.shape[0])
        except NotTaken:  # of the other step than the one that it was made for
            return self._by_keras()._call(step, data, order)
        return program.run(tables, order)

    def _by_keras(self):
        if self._other is None:
            of_model = self._model, self._batch_size, self._output_rank
            self._other = KerasRunner(*of_model, self.reason)
        return self._other

    def _program(self, step, data, row_count):
        """(the `Program` of a step, its tables), which are those of `load`, each once."""
        tables = list(
            {id(part): part for part in tf.nest.flatten(data) if part is not None}.values()
        )
        if step not in self._programs:
            places = {id(part): place for place, part in enumerate(tables)}
            batch = each(lambda part: places[id(part)], data)
            specs = [tf.TensorSpec((None, *table.shape[1:]), table.dtype) for table in tables]
            self._programs[step] = Program(
                lambda *parts: made_step(
                    self._model, step, each(lambda place: parts[place], batch)
                ),
                specs,
                self._batch_size,
                row_count,
                say=self._say,
            )
        return self._programs[step], tables


class KerasRunner(StepRunner):
    """Runs the steps in a loop of TensorFlow's.

    Where that many steps are to be made that it pays, XLA compiles them; else TensorFlow runs them
    as a graph.

    Attributes:
        compiled: Whether XLA compiles what is called next.

    Args:
        model, batch_size, output_rank, reason: As in `StepRunner`.
    """

    engine = "keras"

    def __init__(self, model, batch_size, output_rank, reason):
        super().__init__(model, batch_size, output_rank, reason)
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

    def trace(self, step, data):
        """Have a step of somebody's own make its variables, and learn what it returns.

        Args:
            step: "train_step" or "test_step".
            data: Of `load`.
        """
        batch = each(lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), data)
        with compiling():
            traced = tf.function(getattr(self._model, step), autograph=False)
            self._logs[step] = traced.get_concrete_function(batch).structured_outputs

    def takes(self, data):
        """Whether other data than those it was made for can be loaded."""
        return True

    def _call(self, step, data, order):
        if self._has_logs and step not in self._logs:
            self.trace(step, data)
        if self.compiled:
            try:
                return self._by_xla(step, data, order)
            except tf.errors.ResourceExhaustedError:
                raise
            except tf.errors.OpError as error:  # before anything of it has run
                self.compiled, self._is_refused_by_xla = False, True
                self.reason += f"; as a graph, since XLA does not compile it: {in_words(error)}"
                self._model.reset_metrics()
        return self._as_graph(step, data, order)

    @by_philox()
    def _epoch(self, step, data, order):
        def made(first, count):
            rows = tf.slice(order, [first], [count])
            return made_step(self._model, step, each(lambda part: tf.gather(part, rows), data))

        return self._batches(order.shape[0], made, self._logs.get(step))

    _by_xla = tf.function(_epoch, jit_compile=True, autograph=False)
    _as_graph = tf.function(_epoch, autograph=False)

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
        blank = each(lambda part: tf.zeros(part.shape, part.dtype), logs or {})
        _, made = tf.while_loop(lambda batch, _: batch < steps, body, (0, blank), **one_by_one)
        if rest and self.compiled:
            made = kept(step(whole * batch_size, rest))
        return made


def made_step(model, name, batch):
    """Make one step of a model, and return its logs where they are not in its metrics."""
    with _alone(model.optimizer):
        logs = getattr(model, name)(batch)
    return logs if overridden(model, OF_STEPS) else None


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


def _row_count(data):
    return tf.nest.flatten(data)[0].shape[0]
