"""Parts of values, and values of parts."""

import math

import numpy as np

from tfae.programs.nodes import NotTaken, numbers_of

_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


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
    starts = numbers_of(begin)
    lengths = [
        n - start if length == -1 else length
        for n, start, length in zip(node.shape, starts, numbers_of(size), strict=True)
    ]
    return _pieces(nodes, node, lengths, starts)


def _strided_slice(nodes, op, node, begin, end, strides):
    starts, lengths, shape = _cut(op, node.shape, *map(numbers_of, (begin, end, strides)))
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


def _split(nodes, op, axis, node):
    (axis,) = (at % len(node.shape) for at in numbers_of(axis))
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
    (axis,) = (at % len(parts[0].shape) for at in numbers_of(axis))
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
        shape = numbers_of(shape)
        before, lengths, _ = _cut(op, shape, *map(numbers_of, (begin, end, strides)))
        part = nodes.view(part, lengths)
        after = [n - b - k for n, b, k in zip(shape, before, lengths, strict=True)]
    else:
        part, paddings = inputs
        pairs = np.reshape(numbers_of(paddings), (-1, 2))
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


ENTRIES = {
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "StridedSliceGrad": _among_zeros,
    "Pad": _among_zeros,
    "Split": _split,
    "ConcatV2": _concat,
    "Pack": _pack,
    "Unpack": _unpack,
}
