"""Keras' steps over rows that come bit by bit, many of them a call of the native kernels."""

import tensorflow as tf

from tfae.keras_bridge.steps import made_step
from tfae.programs.program import NotTaken, Program

BLOCK_BYTES = 1 << 26  # of the batches that are gathered for a call
MOST_PROGRAMS = 8  # one for each size of batch, from where Keras' own function serves better


class StreamedSteps:
    """What Keras' `fit` and `evaluate` call with an iterator of batches.

    Args:
        model: A compiled Keras model.
        step: "train_step" or "test_step".
        steps: How many batches a call takes, where there are as many.
        say: Called with a line before the kernels are built.

    Attributes:
        refusal: Why it is Keras' own function that works, a phrase, or None where it is not.
    """

    def __init__(self, model, step, steps, say):
        self._model, self._step, self._steps, self._say = model, step, steps, say
        self._programs, self._by_keras, self.refusal = {}, None, None

    def __call__(self, iterator):
        """The logs of the last step. Raises StopIteration where there are no more batches."""
        logs, left = None, self._steps
        while left and not self._by_keras:
            batches = _block(iterator, left)
            if not batches:
                break
            left -= len(batches)
            logs = self._run(batches)
        if logs is None and self._by_keras:
            return self._by_keras(iterator)
        if logs is None:
            raise StopIteration
        return logs

    def _run(self, batches):
        logs = None
        while batches:
            sizes = list(map(_size, batches))
            size = sizes[0]
            count = next((at for at, other in enumerate(sizes) if other != size), len(sizes))
            count += count < len(batches) and sizes[count] < size  # the last one of all
            try:
                logs = self._call(batches[:count], size)
            except NotTaken as error:  # before anything of these has run
                self.refusal = str(error)
                self._by_keras = self._model._make_function(getattr(self._model, self._step))
                for batch in batches:
                    logs = self._by_keras(iter([batch]))
                return logs
            batches = batches[count:]
        return logs or self._model.get_metrics_result()

    def _call(self, batches, size):
        flat = [tf.nest.flatten(batch) for batch in batches]
        if not all(isinstance(part, tf.Tensor) for part in flat[0]):
            raise NotTaken("batches of something else than tensors")
        places = iter(range(len(flat[0])))
        like = tf.nest.map_structure(lambda _: next(places), batches[0])
        key = repr([like, size, [(part.shape[1:], part.dtype) for part in flat[0]]])
        row_count = sum(map(_size, batches))
        if key not in self._programs:
            if len(self._programs) == MOST_PROGRAMS:
                raise NotTaken("batches of many sizes")
            self._programs[key] = Program(
                lambda *parts: made_step(
                    self._model, self._step, tf.nest.map_structure(lambda at: parts[at], like)
                ),
                [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in flat[0]],
                size,
                row_count,
                say=self._say,
            )
        tables = [tf.concat(parts, 0) for parts in zip(*flat, strict=True)]
        return self._programs[key].run(tables, tf.range(row_count))


def _block(iterator, most):
    """Some of the next batches, as many as there is room for."""
    batches, size = [], 0
    while len(batches) < most and size < BLOCK_BYTES:
        batch = next(iterator, None)
        if batch is None:
            break
        batches.append(batch)
        size += sum(_bytes(part) for part in tf.nest.flatten(batch))
    return batches


def _bytes(part):
    return part.dtype.size * part.shape.num_elements() if isinstance(part, tf.Tensor) else 0


def _size(batch):
    shape = getattr(tf.nest.flatten(batch)[0], "shape", None)
    return int(shape[0]) if shape else 0
