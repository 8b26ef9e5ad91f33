"""A step, for every batch of an epoch, as one call of a native kernel."""

import numpy as np
import tensorflow as tf

from tfae.kernels.compiler import KernelError
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
        tables: Of each the rows' shape and dtype, as `tf.TensorSpec` of (None, ...): float32, bytes
            or whole numbers.
        batch_size: B.
        row_count: N, of the rows that it will mostly have.
        threads: How many; those that the machine has, by default.
        say: Called with a line before the kernels are built.

    Raises:
        NotTaken: The step computes something that the kernels do not have, or there are none.
    """

    def __init__(
        self, function, tables, batch_size, row_count, threads=None, say=lambda line: None
    ):
        try:
            self._kernels = load(say)
        except KernelError as error:
            raise NotTaken(f"there are no native kernels: {error}") from None
        self._threads = threads or thread_count()
        self._function, self._tables, self._batch_size = function, tables, batch_size
        self._made = {}
        self._prepare(row_count)

    def run(self, tables, order):
        """Run the step for every batch of the rows in that order; the last one may be short.

        Args:
            tables: The tensors [N, ...].
            order: [N] int32.

        Returns:
            What the function returned for the last batch, as float tensors in its structure.
        """
        variables, logs, inputs = self._prepare(order.shape[0])
        logged = self._kernels.ops.tfae_run_program(
            **inputs, order=order, variables=variables, tables=tables
        )
        values = iter(tf.unstack(logged)) if logged.shape[0] else iter(())
        return tf.nest.map_structure(lambda part: next(values) if part else None, logs)

    def _prepare(self, row_count):
        """(variables, structure of what is returned, what the kernel is given besides)"""
        batch_size = min(self._batch_size, row_count)
        sizes = batch_size, row_count % batch_size
        if sizes not in self._made:
            # The graph goes with the step: it is large, and other sizes are hardly asked for.
            step = Step(self._function, self._tables)
            logs = tf.nest.map_structure(tf.is_tensor, step.logs)
            used, inputs = self._inputs(step, list(filter(None, sizes)))
            self._made[sizes] = [step.variables[place] for place in used], logs, inputs
        return self._made[sizes]

    def _inputs(self, step, sizes):
        """The places of the variables that are used, and what the kernel is given besides."""
        parts = [step.nodes(size) for size in sizes]
        variables, constants = {}, []
        for nodes, final, outputs in parts:
            for node in nodes.made():
                if node.kind == "variable":
                    variables[node.what[0]] = node.size, node.whole
            variables |= {place: (node.size, node.whole) for place, node in final.items()}
            if any(node.size != 1 for node in outputs):
                raise NotTaken("logs that are no single numbers")
        schedules = []
        for nodes, final, outputs in parts:
            wanted = [*final.values(), *outputs]
            schedules.append(Schedule(nodes.made(), wanted))
            constants += [node.source for node in wanted] + schedules[-1].all_reads()
        sizes_of = [variables.get(place, (0, False)) for place in range(len(step.variables))]
        memory = Memory(sizes_of, [node for node in constants if node.kind == "constant"])
        codes = [
            Code(schedule, final, outputs, memory, size, self._kernels.map_codes)
            for schedule, size, (_, final, outputs) in zip(schedules, sizes, parts, strict=True)
        ]
        most = [max(getattr(code, name) for code in codes) for name in _MOST]
        used = sorted(variables)
        return used, {
            "code": tf.constant(codes[0].words),
            "rest_code": tf.constant(codes[-1].words),
            "constants": tf.constant(memory.contents()),
            "layout": tf.constant(memory.variables()[used].astype(np.int32)),
            "sizes": tf.constant(most, tf.int64),
            "logs": tf.constant(codes[-1].outputs, tf.int32),
            "threads": min(self._threads, max(code.most_threads for code in codes)),
        }


_MOST = ("end", "most_columns", "most_folds")
