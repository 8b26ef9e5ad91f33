"""A traced function as nodes, for one number of rows."""

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context, execute

from tfae.programs.nodes import Nodes, NotTaken
from tfae.programs.operations import gathered, lowered

_ASSIGN = {
    "AssignVariableOp": None,
    "AssignAddVariableOp": ("add", "whole_add"),
    "AssignSubVariableOp": ("sub", "whole_sub"),
}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHES = ("If", "StatelessIf")
_WITHOUT_RESULT = ("Placeholder", "NoOp")
_WITHOUT_EFFECT = (*_WITHOUT_RESULT, "ReadVariableOp", "ResourceGather")
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_FLOATS, _WHOLES = (tf.float32, tf.bool), (tf.int32, tf.int64, tf.uint32, tf.uint64)


class Step:
    """A function of batches that changes variables, traced once.

    Args:
        function: Takes a tensor [B, ...] for each table, and gives logs, which may be None.
        tables: Of each table the rows' shape and dtype, as `tf.TensorSpec` of (None, ...).

    Attributes:
        variables: The handle of each variable that it reads or writes.
        handles: The same in the graph.
        constants: Tensors that it captured: of each the one in the graph, and its array.
        tables: Of each table its batch, in the graph.
        ops: All operations.
        logs: What the function returned: its structure, of tensors in the graph.
        outputs: These tensors.
    """

    def __init__(self, function, tables):
        traced = tf.function(function, autograph=False).get_concrete_function(*tables)
        self._traced, graph = traced, traced.graph  # the former keeps what it captured
        self.ops = graph.get_operations()
        self.logs = traced.structured_outputs
        self.outputs = [tensor for tensor in graph.outputs if tensor.dtype != tf.resource]
        self.variables, self.handles, self.constants = [], [], []
        for outside, inside in graph.captures:
            if inside.dtype == tf.resource:
                self.variables.append(outside)
                self.handles.append(inside)
            else:
                self.constants.append((inside, outside.numpy()))
        captured = {tensor.name for _, tensor in graph.captures}
        self.tables = [tensor for tensor in graph.inputs if tensor.name not in captured]

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
        self._places = {}  # of handles, in this graph or in that of a function that it calls
        self._initial, self._now = {}, {}

    def run(self):
        step, nodes = self._step, self._nodes
        for number, tensor in enumerate(step.tables):
            shape = (self._rows, *tensor.shape[1:])
            node = nodes.make("rows", shape, _is_whole(tensor.dtype), (), (number,))
            self._made[_name(tensor)] = node
        for tensor, value in step.constants:
            self._made[_name(tensor)] = self._constant(value)
        for place, tensor in enumerate(step.handles):
            self._places[_name(tensor)] = place
        self._lower_all(step.ops, step.outputs)
        final = {}
        for place, node in self._now.items():
            if node is not self._initial.get(place):
                is_made = node.source.kind not in ("rows", "variable", "constant", "spread")
                final[place] = node if is_made else nodes.copy(node)
        return nodes, final, [self._made[_name(tensor)] for tensor in step.outputs]

    def _lower_all(self, ops, outputs):
        for op in _needed(ops, outputs):
            if op.type not in _WITHOUT_RESULT:
                made = self._lowered(op)
                for tensor, node in zip(op.outputs, made, strict=True):
                    self._made[_name(tensor)] = node

    def _lowered(self, op):
        if op.type == "Const":
            return [self._constant(tf.make_ndarray(op.get_attr("value")))]
        if op.type == "ReadVariableOp":
            return [self._read(op.inputs[0], op.outputs[0].shape, op.outputs[0].dtype)]
        if op.type in _ASSIGN:
            self._assign(op)
            return []
        if op.type in _CALLS:
            return self._called(op.graph._get_function(op.get_attr("f").name), op.inputs)
        if op.type in _BRANCHES:
            return self._branched(op)
        if op.type == "ResourceGather":
            handle, indices = op.inputs
            if op.get_attr("batch_dims"):
                raise NotTaken("rows of a variable that are gathered in batches")
            (of,) = self._step.variables[self._places[_name(handle)]]._handle_data.shape_and_type
            table = self._read(handle, tf.TensorShape(of.shape), op.outputs[0].dtype)
            return [gathered(self._nodes, table, self._made[_name(indices)])]
        if any(tensor.dtype == tf.resource for tensor in op.inputs):
            raise NotTaken(f"the operation {op.type}")
        inputs = [self._made[_name(tensor)] for tensor in op.inputs]
        if op.type in _SHAPES:
            return [self._shape(op, node) for node in inputs]
        if inputs and all(node.kind == "constant" for node in inputs):
            return self._folded(op, inputs)
        return lowered(self._nodes, op, inputs)

    def _constant(self, value):
        if value.dtype.kind not in "fiub" or value.dtype == np.float64:
            raise NotTaken(f"a constant of the type {value.dtype}")
        return self._nodes.constant(value)

    def _shape(self, op, node):
        shape = np.array(node.shape, np.int64)
        value = {"Size": np.prod(shape), "Rank": len(shape)}.get(op.type, shape)
        return self._nodes.constant(np.asarray(value, np.int64))

    def _variable(self, place, shape, whole):
        """The node of its value by now."""
        if place not in self._now:
            node = self._nodes.make("variable", shape, whole, (), (place,))
            self._initial[place] = self._now[place] = node
        return self._now[place]

    def _read(self, handle, shape, dtype):
        if not shape.is_fully_defined():
            raise NotTaken("a variable without a shape")
        return self._variable(self._places[_name(handle)], shape, _is_whole(dtype))

    def _assign(self, op):
        handle, given = op.inputs
        place, value = self._places[_name(handle)], self._made[_name(given)]
        if names := _ASSIGN[op.type]:
            now = self._variable(place, value.shape, value.whole)
            value = self._nodes.map(names[value.whole], now, value, whole=value.whole)
        self._now[place] = value

    def _called(self, function, inputs):
        """The outputs of a function, its operations lowered as if they stood here."""
        graph = function.graph
        for inside, outside in zip(graph.inputs, inputs, strict=True):
            for known in (self._made, self._places):
                if _name(outside) in known:
                    known[_name(inside)] = known[_name(outside)]
        self._lower_all(graph.get_operations(), graph.outputs)
        return [self._made[_name(tensor)] for tensor in graph.outputs]

    def _branched(self, op):
        """Both branches, and of all that they make the one that the condition chooses."""
        condition, *inputs = op.inputs
        truth = self._made[_name(condition)]
        if truth.shape or truth.whole:
            raise NotTaken("a condition that is no single truth")
        before, results = dict(self._now), []
        for name in ("then_branch", "else_branch"):
            self._now = dict(before)
            made = self._called(op.graph._get_function(op.get_attr(name).name), inputs)
            results.append((made, self._now))
        (yes, now), (no, otherwise) = results
        self._now = {}
        for place in {**now, **otherwise}:
            first, second = (values.get(place, self._initial[place]) for values in (now, otherwise))
            self._now[place] = self._chosen(truth, first, second)
        return [self._chosen(truth, *pair) for pair in zip(yes, no, strict=True)]

    def _chosen(self, truth, yes, no):
        if yes is no:
            return yes
        name = "whole_select" if yes.whole else "select"
        return self._nodes.map(name, truth, yes, no, whole=yes.whole)

    def _folded(self, op, inputs):
        """What TensorFlow itself makes of constants."""
        values = [
            tf.constant(node.value.astype(tensor.dtype.as_numpy_dtype))
            for node, tensor in zip(inputs, op.inputs, strict=True)
        ]
        return [self._nodes.constant(np.asarray(result)) for result in _run(op, values)]


def _name(tensor):
    return id(tensor.graph), tensor.name


def _needed(ops, outputs):
    """Those that have an effect or that what is returned depends on, in their order."""
    of_effect = (op for op in ops if op.op_def.is_stateful and op.type not in _WITHOUT_EFFECT)
    needed, left = set(), list(of_effect)
    left += [tensor.op for tensor in outputs]
    while left:
        op = left.pop()
        if op not in needed:
            needed.add(op)
            left += [tensor.op for tensor in op.inputs]
    return [op for op in ops if op in needed]


def _is_whole(dtype):
    if dtype in _FLOATS:
        return False
    if dtype in _WHOLES:
        return True
    raise NotTaken(f"numbers of the type {dtype.name}")


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
