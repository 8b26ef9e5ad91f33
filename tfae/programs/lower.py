"""A traced function as nodes, for one number of rows."""

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context, execute

from tfae.programs.nodes import Nodes, NotTaken
from tfae.programs.operations import lowered

_ASSIGN = {
    "AssignVariableOp": None,
    "AssignAddVariableOp": ("add", "whole_add"),
    "AssignSubVariableOp": ("sub", "whole_sub"),
}
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_FLOATS, _WHOLES = (tf.float32, tf.bool), (tf.int32, tf.int64, tf.uint32, tf.uint64)


class Step:
    """A function of batches that changes variables, traced once.

    Args:
        function: Takes a tensor [B, ...] for each table, and gives logs, which may be None.
        tables: Of each table the rows' shape and dtype, as `tf.TensorSpec` of (None, ...).

    Attributes:
        variables: The `tf.Variable` or handle of each variable that it reads or writes.
        logs: What the function returned: its structure, of tensors in the graph.
    """

    def __init__(self, function, tables):
        traced = tf.function(function, autograph=False).get_concrete_function(*tables)
        self._traced = traced  # which keeps what it captured
        graph = traced.graph
        self._ops = graph.get_operations()
        self.logs = traced.structured_outputs
        self._outputs = [tensor for tensor in graph.outputs if tensor.dtype != tf.resource]
        self.variables, self._places, self._constants = [], {}, {}
        captured = set()
        for outside, inside in graph.captures:
            captured.add(id(inside))
            if inside.dtype == tf.resource:
                self._places[inside.name] = len(self.variables)
                self.variables.append(outside)
            else:
                self._constants[inside.name] = outside.numpy()
        self.tables = [tensor for tensor in graph.inputs if id(tensor) not in captured]

    def nodes(self, rows):
        """What it computes for batches of that many rows.

        Returns:
            (nodes, final, outputs): the `Nodes`, {place: node} of the variables that change, and
            the nodes of what is returned.

        Raises:
            NotTaken: It computes something that the programs do not have.
        """
        return _Lowering(self, rows).run()


class _Lowering:
    def __init__(self, step, rows):
        self._step, self._rows = step, rows
        self._nodes, self._made = Nodes(), {}
        self._initial, self._now = {}, {}

    def run(self):
        step = self._step
        for number, tensor in enumerate(step.tables):
            shape = (self._rows, *tensor.shape[1:])
            node = self._nodes.make("rows", shape, _is_whole(tensor), (), (number,))
            self._made[tensor.name] = node
        for name, value in step._constants.items():
            self._made[name] = self._constant(value)
        for op in _needed(step._ops, step._outputs):
            self._lower(op)
        outputs = [self._made[tensor.name] for tensor in step._outputs]
        final = {}
        for place, node in self._now.items():
            if node is not self._initial.get(place):
                is_made = node.source.kind in ("map", "fold", "matmul", "random", "copies")
                final[place] = node if is_made else self._nodes.copy(node)
        return self._nodes, final, outputs

    def _lower(self, op):
        if op.type in ("Placeholder", "NoOp", "Assert"):
            return
        if op.type == "Const":
            value = tf.make_ndarray(op.get_attr("value"))
            self._made[op.outputs[0].name] = self._constant(value)
        elif op.type == "ReadVariableOp":
            self._made[op.outputs[0].name] = self._read(op)
        elif op.type in _ASSIGN:
            self._assign(op)
        elif op.type in _SHAPES:
            for tensor, given in zip(op.outputs, op.inputs, strict=True):
                shape = np.array(self._made[given.name].shape, np.int64)
                value = {"Size": np.prod(shape), "Rank": len(shape)}.get(op.type, shape)
                self._made[tensor.name] = self._nodes.constant(np.asarray(value, np.int64))
        else:
            inputs = [self._made[tensor.name] for tensor in op.inputs]
            if inputs and all(node.kind == "constant" for node in inputs):
                made = self._folded(op, inputs)
            elif op.type == "BroadcastGradientArgs":
                raise NotTaken("shapes that are computed")
            else:
                made = lowered(self._nodes, op, inputs)
            for tensor, node in zip(op.outputs, made, strict=True):
                self._made[tensor.name] = node

    def _constant(self, value):
        if value.dtype.kind not in "fiub" or value.dtype == np.float64:
            raise NotTaken(f"a constant of the type {value.dtype}")
        return self._nodes.constant(value)

    def _place(self, handle):
        return self._step._places[handle.name]

    def _read(self, op):
        place = self._place(op.inputs[0])
        if place not in self._now:
            tensor = op.outputs[0]
            if not tensor.shape.is_fully_defined():
                raise NotTaken("a variable without a shape")
            node = self._nodes.make("variable", tensor.shape, _is_whole(tensor), (), (place,))
            self._initial[place] = self._now[place] = node
        return self._now[place]

    def _assign(self, op):
        place, value = self._place(op.inputs[0]), self._made[op.inputs[1].name]
        if names := _ASSIGN[op.type]:
            if place not in self._now:
                node = self._nodes.make("variable", value.shape, value.whole, (), (place,))
                self._initial[place] = self._now[place] = node
            now = self._now[place]
            value = self._nodes.map(names[value.whole], now, value, whole=value.whole)
        self._now[place] = value

    def _folded(self, op, inputs):
        """What TensorFlow itself makes of constants."""
        values = [
            tf.constant(node.value.astype(tensor.dtype.as_numpy_dtype))
            for node, tensor in zip(inputs, op.inputs, strict=True)
        ]
        results = _run(op, values)
        return [self._nodes.constant(np.asarray(result)) for result in results]


def _needed(ops, outputs):
    """Those that what is written or returned depends on, in their order."""
    needed, open_ops = set(), [op for op in ops if op.type in _ASSIGN]
    open_ops += [tensor.op for tensor in outputs]
    while open_ops:
        op = open_ops.pop()
        if op in needed:
            continue
        needed.add(op)
        open_ops += [tensor.op for tensor in op.inputs]
    return [op for op in ops if op in needed]


def _is_whole(tensor):
    if tensor.dtype in _FLOATS:
        return False
    if tensor.dtype in _WHOLES:
        return True
    raise NotTaken(f"numbers of the type {tensor.dtype.name}")


def _run(op, values):
    """The results of an operation that is run at once, by its name in the graph."""
    attrs = []
    for attr in op.op_def.attr:
        value = op.get_attr(attr.name)
        attrs += [attr.name, getattr(value, "as_datatype_enum", value)]
    results = execute.execute(
        op.type.encode(), len(op.outputs), values, tuple(attrs), context.context()
    )
    return list(results) if isinstance(results, (list, tuple)) else [results]
