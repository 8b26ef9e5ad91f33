"""A step, for every batch of an epoch, as one call of a native kernel."""

import functools

import numpy as np
import tensorflow as tf

from tfae.kernels.library import load
from tfae.kernels.threads import thread_count
from tfae.programs.code import Code, Memory
from tfae.programs.lower import Step
from tfae.programs.nodes import NotTaken
from tfae.programs.schedule import Schedule

__all__ = ["NotTaken", "Program"]


class Program:
    """A function of batches, which changes variables, over all rows of some tables.

    Args:
        function: Takes a tensor [B, ...] of each table; what it returns is known of the last batch.
        tables: Tensors [N, ...] of the rows, of float32, bytes or whole numbers.
        batch_size: B.
        threads: How many; those that the machine has, by default.
        say: Called with a line before the kernels are built.

    Raises:
        NotTaken: The step computes something that the kernels do not have.
        KernelError: There are no kernels on this machine.
    """

    def __init__(self, function, tables, batch_size, threads=None, say=lambda line: None):
        self._kernels = load(say)
        self._threads = threads or thread_count()
        specs = [tf.TensorSpec((None, *table.shape[1:]), table.dtype) for table in tables]
        self._step = Step(function, specs)
        self._batch_size = batch_size
        self._codes = functools.cache(self._made)
        self._codes(*self._sizes(tables[0].shape[0]))  # or it would be refused only by an epoch

    def run(self, tables, order):
        """Run the step for every batch of the rows in that order; the last one may be short.

        Args:
            tables: As before, with as many rows or others.
            order: [N] int32.

        Returns:
            What the function returned for the last batch, as float tensors in its structure.
        """
        inputs = self._codes(*self._sizes(order.shape[0]))
        logged = self._kernels.ops.tfae_run_program(
            **inputs,
            order=order,
            variables=[_handle(variable) for variable in self._step.variables],
            tables=list(tables),
            threads=self._threads,
        )
        values = iter(tf.unstack(logged)) if logged.shape[0] else iter(())
        return tf.nest.map_structure(
            lambda part: next(values) if tf.is_tensor(part) else part, self._step.logs
        )

    def _sizes(self, row_count):
        """Rows of a whole batch, and of the short one at the end, or 0."""
        batch_size = min(self._batch_size, row_count)
        return batch_size, row_count % batch_size

    def _made(self, *sizes):
        """What the kernel is given besides rows and variables."""
        parts = [self._step.nodes(size) for size in sizes if size]
        variables = {}
        for nodes, final, outputs in parts:
            for node in nodes.made():
                if node.kind == "variable":
                    variables[node.what[0]] = node.size, node.whole
            variables |= {place: (node.size, node.whole) for place, node in final.items()}
            if any(node.size != 1 for node in outputs):
                raise NotTaken("logs that are no single numbers")
        unused = 0, False
        memory = Memory([variables.get(at, unused) for at in range(len(self._step.variables))])
        schedules = []
        for nodes, final, outputs in parts:
            wanted = [*final.values(), *outputs]
            schedules.append(Schedule(nodes.made(), wanted))
            for number in range(len(schedules[-1].instructions)):
                for node in schedules[-1].reads(number):
                    if node.kind == "constant":
                        memory.add(node)
            for node in wanted:
                if node.kind == "constant":
                    memory.add(node)
        codes = [
            Code(schedule, final, outputs, memory, size, self._kernels.map_codes)
            for schedule, size, (_, final, outputs) in zip(
                schedules, filter(None, sizes), parts, strict=True
            )
        ]
        most = [max(getattr(code, name) for code in codes) for name in _MOST]
        return {
            "code": tf.constant(codes[0].words),
            "rest_code": tf.constant(codes[-1].words),
            "constants": tf.constant(memory.contents()),
            "layout": tf.constant(memory.variables().astype(np.int32)),
            "sizes": tf.constant(most, tf.int64),
            "logs": tf.constant(codes[-1].outputs, tf.int32),
        }


_MOST = ("end", "most_columns", "most_folds")


def _handle(variable):
    return getattr(variable, "handle", variable)
