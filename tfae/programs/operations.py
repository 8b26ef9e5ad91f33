"""TensorFlow's operations as nodes: one entry each."""

import math

import numpy as np
import tensorflow as tf

from tfae.programs import elements, pieces
from tfae.programs.nodes import NotTaken, numbers_of

# Those of elements that a kernel has, by TensorFlow's name: (of floats, of whole numbers).
_BINARY = {
    "Add": ("add", "whole_add"),
    "AddV2": ("add", "whole_add"),
    "Sub": ("sub", "whole_sub"),
    "Mul": ("mul", "whole_mul"),
    "RealDiv": ("div", None),
    "Div": ("div", "whole_floor_div"),
    "DivNoNan": ("div_no_nan", None),
    "MulNoNan": ("mul_no_nan", None),
    "Pow": ("pow", None),
    "Maximum": ("max", "whole_max"),
    "Minimum": ("min", "whole_min"),
    "FloorDiv": ("floor_div", "whole_floor_div"),
    "FloorMod": ("floor_mod", "whole_floor_mod"),
    "BitwiseAnd": (None, "whole_and"),
    "BitwiseOr": (None, "whole_or"),
    "BitwiseXor": (None, "whole_xor"),
}
_TRUTHS = {
    "Less": ("less", "whole_less"),
    "LessEqual": ("less_equal", "whole_less_equal"),
    "Greater": ("greater", "whole_greater"),
    "GreaterEqual": ("greater_equal", "whole_greater_equal"),
    "Equal": ("equal", "whole_equal"),
    "NotEqual": ("not_equal", "whole_not_equal"),
    "LogicalAnd": ("and", None),
    "LogicalOr": ("or", None),
}
_UNARY = {
    "Neg": "neg",
    "Abs": "abs",
    "Sign": "sign",
    "Square": "square",
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Reciprocal": "reciprocal",
    "Inv": "reciprocal",
    "Exp": "exp",
    "Log": "log",
    "Log1p": "log1p",
    "Expm1": "expm1",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Relu": "relu",
    "Elu": "elu",
    "Selu": "selu",
    "Erf": "erf",
    "Erfc": "erfc",
    "Lgamma": "lgamma",
    "Sin": "sin",
    "Cos": "cos",
    "Floor": "floor",
    "Ceil": "ceil",
    "Rint": "round",
    "Round": "round",
    "LogicalNot": "not",
    "IsNan": "is_nan",
    "IsFinite": "is_finite",
}
_SAME = ("Identity", "StopGradient", "PreventGradient", "Snapshot", "EnsureShape")
_FOLDS = {"Sum": "sum", "Max": "max", "Min": "min", "Prod": "product", "All": "min", "Any": "max"}


def lowered(nodes, op, inputs):
    """The nodes of an operation's outputs.

    Args:
        nodes: The `Nodes` that make them.
        op: The `tf.Operation`.
        inputs: The nodes of its inputs.

    Raises:
        NotTaken: There is no entry for it, or not for these shapes.
    """
    kind = op.type
    if kind in _SAME or kind == "IdentityN":
        return inputs
    for table, truths in ((_BINARY, False), (_TRUTHS, True)):
        if kind in table:
            whole = inputs[0].whole
            name = table[kind][whole]
            if name is None:
                raise NotTaken(f"{kind} of {'whole numbers' if whole else 'floats'}")
            return [nodes.map(name, *inputs, whole=whole and not truths)]
    if kind in _UNARY:
        return [_unary(nodes, _UNARY[kind], inputs[0])]
    if kind in _FOLDS or kind == "Mean":
        return [_fold(nodes, op, *inputs)]
    if kind in _ENTRIES:
        made = _ENTRIES[kind](nodes, op, *inputs)
        return made if isinstance(made, list) else [made]
    raise NotTaken(f"the operation {kind}")


def _unary(nodes, name, node):
    if not node.whole:
        return nodes.map(name, node)
    zero = nodes.constant(np.int64(0))
    if name == "neg":
        return nodes.map("whole_sub", zero, node, whole=True)
    if name == "square":
        return nodes.map("whole_mul", node, node, whole=True)
    raise NotTaken(f"{name} of whole numbers")


def _fold(nodes, op, node, axes):
    if node.whole:
        raise NotTaken(f"{op.type} of whole numbers")
    keep = op.get_attr("keep_dims")
    folded = nodes.fold(_FOLDS.get(op.type, "sum"), node, numbers_of(axes), keep)
    if op.type != "Mean":
        return folded
    return nodes.map("div", folded, nodes.constant(np.float32(node.size / max(folded.size, 1))))


def _reshape(nodes, op, node, shape):
    if shape.kind != "constant":
        raise NotTaken("a shape that is computed")
    wanted = [int(n) for n in shape.value]
    if -1 in wanted:
        wanted[wanted.index(-1)] = node.size // max(-math.prod(wanted), 1)
    return nodes.view(node, wanted)


def _of_static_shape(nodes, op, node, *rest):
    """Squeeze and ExpandDims, by what they do to the shape."""
    if op.type == "ExpandDims":
        (axis,) = numbers_of(rest[0])
        shape = list(node.shape)
        shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 1)
    else:
        dims = op.get_attr("squeeze_dims")
        dims = [axis % len(node.shape) for axis in dims] or range(len(node.shape))
        shape = [n for at, n in enumerate(node.shape) if n != 1 or at not in dims]
    return nodes.view(node, shape)


def _cast(nodes, op, node):
    to = op.get_attr("DstT")
    if to in (tf.float32, tf.bool):
        if to == tf.bool:
            zero = nodes.constant(np.int64(0) if node.whole else np.float32(0))
            return nodes.map("whole_not_equal" if node.whole else "not_equal", node, zero)
        return nodes.map("to_float", node) if node.whole else node
    if not to.is_integer:
        raise NotTaken(f"numbers of the type {to.name}")
    whole = node if node.whole else nodes.map("to_whole", node, whole=True)
    if to == tf.uint32:
        return nodes.map("to_unsigned_32_bits", whole, whole=True)
    return nodes.map("to_32_bits", whole, whole=True) if to == tf.int32 else whole


def _bitcast(nodes, op, node):
    to, of = op.get_attr("type"), op.inputs[0].dtype
    if {to, of} == {tf.int32, tf.uint32}:
        name = "to_unsigned_32_bits" if to == tf.uint32 else "to_32_bits"
        return nodes.map(name, node, whole=True)
    if (of, to) == (tf.float32, tf.int32):
        return nodes.map("bits", node, whole=True)
    if {to, of} == {tf.int64, tf.uint64} or to == of:
        return node
    raise NotTaken(f"the bits of {of.name} as {to.name}")


def _matmul(nodes, op, a, b):
    names = ("transpose_a", "transpose_b") if op.type == "MatMul" else ("adj_x", "adj_y")
    return _product(nodes, a, b, *map(op.get_attr, names))


def _product(nodes, a, b, transposed_a, transposed_b):
    if len(a.shape) == len(b.shape) == 3:
        return _products_of_vectors(nodes, a, b, transposed_a, transposed_b)
    if len(a.shape) != 2 or len(b.shape) != 2 or a.whole or b.whole:
        raise NotTaken("a product that is none of two matrices of floats")
    if a.kind == "transpose":
        a, transposed_a = a.inputs[0], not transposed_a
    if b.kind == "transpose":
        b, transposed_b = b.inputs[0], not transposed_b
    rows, depth = a.shape[::-1] if transposed_a else a.shape
    columns = b.shape[0] if transposed_b else b.shape[1]
    what = (rows, columns, depth, transposed_a, transposed_b)
    return nodes.make("matmul", (rows, columns), False, (a, b), what)


def _products_of_vectors(nodes, a, b, transposed_a, transposed_b):
    """A product each, of which both or the one between them has a single number's length."""
    (batch, rows, depth), (_, b_rows, b_columns) = a.shape, b.shape
    if transposed_a:
        rows, depth = depth, rows
    columns = b_rows if transposed_b else b_columns
    of_vectors = all(min(node.shape[1:]) == 1 for node in (a, b))  # turned round by their shape
    if of_vectors and depth == 1:
        return nodes.map("mul", nodes.view(a, (batch, rows, 1)), nodes.view(b, (batch, 1, columns)))
    if of_vectors and rows == columns == 1:
        both = nodes.map("mul", nodes.view(a, (batch, depth)), nodes.view(b, (batch, depth)))
        return nodes.view(nodes.fold("sum", both, [1]), (batch, 1, 1))
    raise NotTaken("a product of matrices for each row")


def _transpose(nodes, op, node, axes):
    order = numbers_of(axes)
    moved = [axis for axis in order if node.shape[axis] != 1]
    shape = [node.shape[axis] for axis in order]
    if moved == sorted(moved):
        return nodes.view(node, shape)
    if len(node.shape) == 2 and not node.whole:
        return nodes.make("transpose", shape, False, (node,))
    raise NotTaken("axes that change places")


def _tile(nodes, op, node, multiples):
    times = numbers_of(multiples)
    if any(n != 1 and count != 1 for n, count in zip(node.shape, times, strict=True)):
        raise NotTaken("Tile of more than single numbers")
    return nodes.spread(node, [n * count for n, count in zip(node.shape, times, strict=True)])


def _broadcast_to(nodes, op, node, shape):
    return nodes.spread(node, numbers_of(shape))


def _fill(nodes, op, shape, value):
    return nodes.spread(value, numbers_of(shape))


def _like(value):
    def entry(nodes, op, node):
        number = np.int64(value) if node.whole else np.float32(value)
        return nodes.spread(nodes.constant(number), node.shape)

    return entry


def _add_n(nodes, op, *parts):
    total, *others = parts
    for part in others:
        total = nodes.map("whole_add" if total.whole else "add", total, part, whole=total.whole)
    return total


def _select(nodes, op, truth, yes, no):
    if op.type == "Select" and truth.shape and len(truth.shape) < len(yes.shape):
        truth = nodes.view(truth, truth.shape + (1,) * (len(yes.shape) - len(truth.shape)))
    name = "whole_select" if yes.whole else "select"
    return nodes.map(name, truth, yes, no, whole=yes.whole)


def _bias(nodes, op, node, bias):
    if op.get_attr("data_format") != b"NHWC":
        raise NotTaken("channels that come first")
    return nodes.map("add", node, bias)


def _bias_gradient(nodes, op, node):
    return nodes.fold("sum", node, range(len(node.shape) - 1))


def _arg_max(nodes, op, node, axis):
    if node.whole or [a % len(node.shape) for a in numbers_of(axis)] != [len(node.shape) - 1]:
        raise NotTaken("the place of the largest that is not of the last axis")
    rows = node.size // node.shape[-1]
    made = nodes.make("argmax", (rows,), True, (node,), (rows, node.shape[-1]))
    return nodes.view(made, node.shape[:-1])


def _gather(nodes, op, table, indices, axis):
    if numbers_of(axis) != [0] or op.get_attr("batch_dims"):
        raise NotTaken("rows that are gathered on another axis than the first")
    return gathered(nodes, table, indices)


def gathered(nodes, table, indices):
    """The rows of a table that indices name.

    Raises:
        NotTaken: They are of whole numbers.
    """
    if table.whole:
        raise NotTaken("rows of whole numbers that are gathered")
    columns = table.size // table.shape[0]
    shape, what = (*indices.shape, *table.shape[1:]), (indices.size, columns, table.shape[0])
    return nodes.make("gather", shape, False, (table, indices), what)


def _segments(nodes, op, rows, indices, count):
    """Rows added up, each to the one of a table that its index names."""
    if count.kind != "constant" or rows.whole or len(indices.shape) != 1:
        raise NotTaken("rows that are added up in another way than by one index each")
    (of,) = numbers_of(count)
    shape, what = (of, *rows.shape[1:]), (indices.size, rows.size // indices.size, of)
    return nodes.make("scatter", shape, False, (rows, indices), what)


def _key_and_counter(nodes, op, seed):
    # Both outputs stand for the seed, from which the kernel makes them.
    return [seed, seed]


def _random(nodes, op, shape, seed, counter, algorithm):
    normal = op.type == "StatelessRandomNormalV2"
    if algorithm.kind != "constant" or int(algorithm.value) not in (_PHILOX, _AUTOMATIC):
        raise NotTaken("random numbers by another algorithm than philox")
    if seed.shape != (2,) or counter is not seed:
        raise NotTaken("random numbers of a key that is none of a seed's")
    shape = numbers_of(shape)
    return nodes.make("random", shape, False, (seed,), (normal,))


_PHILOX, _AUTOMATIC = 1, 3  # the latter is philox on a CPU


_ENTRIES = {
    **elements.ENTRIES,
    **pieces.ENTRIES,
    "Reshape": _reshape,
    "Squeeze": _of_static_shape,
    "ExpandDims": _of_static_shape,
    "Cast": _cast,
    "Bitcast": _bitcast,
    "MatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "Transpose": _transpose,
    "Tile": _tile,
    "BroadcastTo": _broadcast_to,
    "Fill": _fill,
    "ZerosLike": _like(0),
    "OnesLike": _like(1),
    "AddN": _add_n,
    "Select": _select,
    "SelectV2": _select,
    "BiasAdd": _bias,
    "BiasAddGrad": _bias_gradient,
    "ArgMax": _arg_max,
    "GatherV2": _gather,
    "UnsortedSegmentSum": _segments,
    "StatelessRandomGetKeyCounter": _key_and_counter,
    "StatelessRandomUniformV2": _random,
    "StatelessRandomNormalV2": _random,
}
