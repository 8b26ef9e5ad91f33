"""TensorFlow's operations as nodes: one entry each."""

import math

import numpy as np
import tensorflow as tf

from tfae.programs.nodes import NotTaken

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
_SAME = ("Identity", "StopGradient", "PreventGradient", "Snapshot", "EnsureShape", "CheckNumerics")
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


def _axes(node):
    if node.kind != "constant":
        raise NotTaken("axes that are computed")
    return [int(axis) for axis in node.value.ravel()]


def _fold(nodes, op, node, axes):
    if node.whole:
        raise NotTaken(f"{op.type} of whole numbers")
    keep = op.get_attr("keep_dims")
    folded = nodes.fold(_FOLDS.get(op.type, "sum"), node, _axes(axes), keep)
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
        (axis,) = _axes(rest[0])
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
    order = _axes(axes)
    moved = [axis for axis in order if node.shape[axis] != 1]
    shape = [node.shape[axis] for axis in order]
    if moved == sorted(moved):
        return nodes.view(node, shape)
    if len(node.shape) == 2 and not node.whole:
        return nodes.make("transpose", shape, False, (node,))
    raise NotTaken("axes that change places")


def _tile(nodes, op, node, multiples):
    times = _axes(multiples)
    if any(n != 1 and count != 1 for n, count in zip(node.shape, times, strict=True)):
        raise NotTaken("Tile of more than single numbers")
    return nodes.spread(node, [n * count for n, count in zip(node.shape, times, strict=True)])


def _broadcast_to(nodes, op, node, shape):
    return nodes.spread(node, _axes(shape))


def _fill(nodes, op, shape, value):
    return nodes.spread(value, _axes(shape))


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


def _times(nodes, a, b):
    return nodes.map("mul", a, b)


def _less_one(nodes, node):
    return nodes.map("sub", nodes.constant(np.float32(1)), node)


def _leaky(nodes, op, node):
    scaled = _times(nodes, node, nodes.constant(np.float32(op.get_attr("alpha"))))
    return nodes.map("select", _is_positive(nodes, node), node, scaled)


def _leaky_slope(nodes, op, upstream, node):
    scaled = _times(nodes, upstream, nodes.constant(np.float32(op.get_attr("alpha"))))
    return nodes.map("select", _is_positive(nodes, node), upstream, scaled)


def _is_positive(nodes, node):
    return nodes.map("greater", node, nodes.constant(np.float32(0)))


def _relu6(nodes, op, node):
    return nodes.map("min", nodes.map("relu", node), nodes.constant(np.float32(6)))


def _relu6_slope(nodes, op, upstream, node):
    below = nodes.map("less", node, nodes.constant(np.float32(6)))
    inside = nodes.map("and", _is_positive(nodes, node), below)
    return nodes.map("select", inside, upstream, nodes.constant(np.float32(0)))


def _slope(name):
    """Of the upstream gradient and of what the kernel's slope is a function of."""

    def entry(nodes, op, upstream, of):
        return nodes.map(name, upstream, of)

    return entry


def _slope_of_result(name):
    """The same, where TensorFlow gives the result first."""

    def entry(nodes, op, result, upstream):
        return nodes.map(name, upstream, result)

    return entry


def _softplus_slope(nodes, op, upstream, node):
    return _times(nodes, upstream, nodes.map("sigmoid", node))


def _softsign(nodes, op, node):
    size = nodes.map("add", nodes.map("abs", node), nodes.constant(np.float32(1)))
    return nodes.map("div", node, size)


def _softsign_slope(nodes, op, upstream, node):
    size = nodes.map("add", nodes.map("abs", node), nodes.constant(np.float32(1)))
    return nodes.map("div", upstream, nodes.map("square", size))


def _sqrt_slope(nodes, op, result, upstream):
    half = nodes.constant(np.float32(0.5))
    return nodes.map("div", _times(nodes, upstream, half), result)


def _rsqrt_slope(nodes, op, result, upstream):
    cube = _times(nodes, _times(nodes, result, result), result)
    return _times(nodes, _times(nodes, upstream, nodes.constant(np.float32(-0.5))), cube)


def _reciprocal_slope(nodes, op, result, upstream):
    return nodes.map("neg", _times(nodes, upstream, nodes.map("square", result)))


def _squared_difference(nodes, op, a, b):
    return nodes.map("square", nodes.map("sub", a, b))


def _xlogy(nodes, op, a, b):
    return nodes.map("mul_no_nan", nodes.map("log", b), a)


def _shifted(nodes, node):
    """(z less its row's largest, e^ that, and their sum over a row), over the last axis."""
    last = len(node.shape) - 1
    less = nodes.map("sub", node, nodes.fold("max", node, [last], keep_dims=True))
    power = nodes.map("exp", less)
    return less, power, nodes.fold("sum", power, [last], keep_dims=True)


def _softmax(nodes, op, node):
    _, power, total = _shifted(nodes, node)
    return nodes.map("div", power, total)


def _log_softmax(nodes, op, node):
    less, _, total = _shifted(nodes, node)
    return nodes.map("sub", less, nodes.map("log", total))


def _cross_entropy(nodes, op, logits, labels):
    less, power, total = _shifted(nodes, logits)
    log = nodes.map("sub", less, nodes.map("log", total))
    loss = nodes.fold("sum", nodes.map("neg", _times(nodes, labels, log)), [len(logits.shape) - 1])
    return [loss, nodes.map("sub", nodes.map("div", power, total), labels)]


def _l2_loss(nodes, op, node):
    total = nodes.fold("sum", nodes.map("square", node), range(len(node.shape)))
    return _times(nodes, total, nodes.constant(np.float32(0.5)))


def _arg_max(nodes, op, node, axis):
    if node.whole or [a % len(node.shape) for a in _axes(axis)] != [len(node.shape) - 1]:
        raise NotTaken("the place of the largest that is not of the last axis")
    rows = node.size // node.shape[-1]
    made = nodes.make("argmax", (rows,), True, (node,), (rows, node.shape[-1]))
    return nodes.view(made, node.shape[:-1])


def _gather(nodes, op, table, indices, axis):
    if _axes(axis) != [0] or op.get_attr("batch_dims"):
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
    (of,) = _axes(count)
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
    shape = _axes(shape)
    return nodes.make("random", shape, False, (seed,), (normal,))


def _pieces(nodes, node, shape, starts):
    """A part of a node, cut on one axis after the other."""
    for axis, (n, length) in enumerate(zip(node.shape, shape, strict=True)):
        if length != n:
            left = (*node.shape[:axis], length, *node.shape[axis + 1 :])
            behind = math.prod(node.shape[axis + 1 :])
            what = (math.prod(node.shape[:axis]), length * behind)
            what = ((*what, starts[axis] * behind, n * behind, 0, length * behind),)
            node = nodes.make("copies", left, node.whole, (node,), what)
    return node


def _slice(nodes, op, node, begin, size):
    starts = _axes(begin)
    lengths = [
        n - start if length == -1 else length
        for n, start, length in zip(node.shape, starts, _axes(size), strict=True)
    ]
    return _pieces(nodes, node, lengths, starts)


def _strided_slice(nodes, op, node, begin, end, strides):
    starts, lengths, shape = _cut(op, node.shape, *map(_axes, (begin, end, strides)))
    return nodes.view(_pieces(nodes, node, lengths, starts), shape)


def _cut(op, of, begin, end, strides):
    """(starts, lengths, shape) of a slice as Python has it: by axis, and what is left of them."""
    masks = {name: op.get_attr(f"{name}_mask") for name in _MASKS}

    def has(name, at):
        return masks[name] >> at & 1

    if any(step != 1 for step in strides):
        raise NotTaken("a slice with steps")
    new = sum(has("new_axis", at) for at in range(len(begin)))
    whole = len(of) - (len(begin) - new - bool(masks["ellipsis"]))  # axes that are left as they are
    starts, lengths, shape = [], [], []

    def leave(count):
        for n in of[len(starts) : len(starts) + count]:
            starts.append(0)
            lengths.append(n)
            shape.append(n)

    for at in range(len(begin)):
        if has("ellipsis", at):
            leave(whole)
            continue
        if has("new_axis", at):
            shape.append(1)
            continue
        n = of[len(starts)]
        first = None if has("begin", at) else begin[at]
        last = None if has("end", at) else end[at]
        if has("shrink_axis", at):
            first = begin[at] % n
            last = first + 1
        first, last, _ = slice(first, last).indices(n)
        starts.append(first)
        lengths.append(max(last - first, 0))
        if not has("shrink_axis", at):
            shape.append(lengths[-1])
    leave(len(of) - len(starts))
    return starts, lengths, shape


_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
_PHILOX, _AUTOMATIC = 1, 3  # the latter is philox on a CPU


def _split(nodes, op, axis, node):
    (axis,) = (at % len(node.shape) for at in _axes(axis))
    count = op.get_attr("num_split")
    shape, starts = list(node.shape), [0] * len(node.shape)
    shape[axis] //= count
    parts = []
    for part in range(count):
        starts[axis] = part * shape[axis]
        parts.append(_pieces(nodes, node, list(shape), list(starts)))
    return parts


def _concat(nodes, op, *inputs):
    *parts, axis = inputs
    (axis,) = (at % len(parts[0].shape) for at in _axes(axis))
    return _joined(nodes, parts, axis)


def _joined(nodes, parts, axis):
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    rows, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    what, first = [], 0
    for part in parts:
        run = part.shape[axis] * behind
        what.append((rows, run, 0, run, first, shape[axis] * behind))
        first += run
    return nodes.make("copies", shape, parts[0].whole, parts, tuple(what))


def _pack(nodes, op, *parts):
    axis = op.get_attr("axis") % (len(parts[0].shape) + 1)
    shape = list(parts[0].shape)
    shape.insert(axis, 1)
    return _joined(nodes, [nodes.view(part, shape) for part in parts], axis)


def _unpack(nodes, op, node):
    axis = op.get_attr("axis") % len(node.shape)
    shape, starts = list(node.shape), [0] * len(node.shape)
    shape[axis] = 1
    parts = []
    for part in range(node.shape[axis]):
        starts[axis] = part
        piece = _pieces(nodes, node, list(shape), list(starts))
        parts.append(nodes.view(piece, shape[:axis] + shape[axis + 1 :]))
    return parts


def _among_zeros(nodes, op, *inputs):
    """StridedSliceGrad and Pad: a part among zeros, on one axis."""
    if op.type == "StridedSliceGrad":
        shape, begin, end, strides, part = inputs
        shape = _axes(shape)
        before, lengths, _ = _cut(op, shape, *map(_axes, (begin, end, strides)))
        part = nodes.view(part, lengths)
        after = [n - b - k for n, b, k in zip(shape, before, lengths, strict=True)]
    else:
        part, paddings = inputs
        pairs = np.reshape(_axes(paddings), (-1, 2))
        before, after = pairs[:, 0].tolist(), pairs[:, 1].tolist()
    axes = [at for at, (b, a) in enumerate(zip(before, after, strict=True)) if b or a]
    for axis in axes:
        parts = []
        for count in (before[axis], None, after[axis]):
            if count is None:
                parts.append(part)
            elif count:
                shape = list(part.shape)
                shape[axis] = count
                zero = np.int64(0) if part.whole else np.float32(0)
                parts.append(nodes.constant(np.full(shape, zero)))
        part = _joined(nodes, parts, axis)
    return part


_ENTRIES = {
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
    "ReluGrad": _slope("if_positive"),
    "EluGrad": _slope("elu_slope"),
    "SeluGrad": _slope("selu_slope"),
    "SigmoidGrad": _slope_of_result("sigmoid_slope"),
    "TanhGrad": _slope_of_result("tanh_slope"),
    "LeakyRelu": _leaky,
    "LeakyReluGrad": _leaky_slope,
    "Relu6": _relu6,
    "Relu6Grad": _relu6_slope,
    "SoftplusGrad": _softplus_slope,
    "Softsign": _softsign,
    "SoftsignGrad": _softsign_slope,
    "SqrtGrad": _sqrt_slope,
    "RsqrtGrad": _rsqrt_slope,
    "ReciprocalGrad": _reciprocal_slope,
    "InvGrad": _reciprocal_slope,
    "SquaredDifference": _squared_difference,
    "Xlogy": _xlogy,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "SoftmaxCrossEntropyWithLogits": _cross_entropy,
    "L2Loss": _l2_loss,
    "ArgMax": _arg_max,
    "GatherV2": _gather,
    "UnsortedSegmentSum": _segments,
    "StatelessRandomGetKeyCounter": _key_and_counter,
    "StatelessRandomUniformV2": _random,
    "StatelessRandomNormalV2": _random,
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "StridedSliceGrad": _among_zeros,
    "Pad": _among_zeros,
    "Split": _split,
    "ConcatV2": _concat,
    "Pack": _pack,
    "Unpack": _unpack,
}
