"""What a step computes, as nodes of known shapes: few kinds, which the kernels have."""

import math
from dataclasses import dataclass, field

import numpy as np

MOST_COPIES = 64  # of what is spread over axes in the middle


class NotTaken(Exception):
    """A step computes something that the programs do not have; the message is a phrase."""


@dataclass(eq=False)
class Node:
    """A value.

    Attributes:
        kind: "constant", "variable", "rows", "map", "fold", "middle" (a fold between others),
            "matmul", "random", "argmax", "transpose", "copies", "gather", "scatter", or "view" of
            another one's numbers in another shape, or "spread" over a larger shape.
        shape: Its dimensions.
        whole: Whether it is of whole numbers, and not of floats or truths.
        inputs: Other nodes.
        what: What the kind needs besides, something that can be compared.
        value: Of a constant, the array.
    """

    kind: str
    shape: tuple
    whole: bool
    inputs: tuple = ()
    what: tuple = ()
    value: np.ndarray | None = field(default=None, repr=False)

    @property
    def size(self):
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def source(self):
        """The node whose numbers these are, in this order."""
        node = self
        while node.kind == "view":
            node = node.inputs[0]
        return node


class Nodes:
    """Makes nodes, each once."""

    def __init__(self):
        self._known = {}

    def make(self, kind, shape, whole=False, inputs=(), what=()):
        """The node; the one that is known where there is such a one."""
        if kind not in ("map", "fold", "view", "spread"):
            inputs = [self.solid(node) for node in inputs]
        key = (kind, tuple(shape), whole, tuple(map(id, inputs)), what)
        if key not in self._known:
            self._known[key] = Node(kind, tuple(shape), whole, tuple(inputs), what)
        return self._known[key]

    def made(self):
        """All nodes, each behind what it depends on."""
        return list(self._known.values())

    def constant(self, value):
        """The node of an array."""
        value = np.asarray(value)
        whole = value.dtype.kind in "iu"
        value = value.astype(np.int64 if whole else np.float32)
        key = ("constant", value.shape, whole, value.tobytes())
        if key not in self._known:
            self._known[key] = Node("constant", value.shape, whole, value=value)
        return self._known[key]

    def view(self, node, shape):
        """The same numbers in another shape."""
        shape = tuple(shape)
        if shape == node.shape:
            return node
        if node.kind == "constant":
            return self.constant(node.value.reshape(shape))
        if node.kind == "spread" and node.inputs[0].size == 1:
            return self.spread(self.view(node.inputs[0], ()), shape)
        return self.make("view", shape, node.whole, (self.solid(node).source,))

    def spread(self, node, shape):
        """A node broadcast to a larger shape."""
        shape = tuple(shape)
        return node if shape == node.shape else self.make("spread", shape, node.whole, (node,))

    def solid(self, node):
        """A node whose numbers all lie in the memory."""
        return self.copy(node) if node.kind == "spread" else node

    def copy(self, node):
        """The same numbers elsewhere."""
        if node.whole:
            return self.map("whole_add", node, self.constant(np.int64(0)), whole=True)
        return self.map("mul", node, self.constant(np.float32(1)))

    def map(self, name, *inputs, whole=False):
        """An operation of elements, of operands that are broadcast."""
        shape = np.broadcast_shapes(*(node.shape for node in inputs))
        inputs = [self._spread_at_one_end(node, shape) for node in inputs]
        return self.make("map", shape, whole, inputs, (name,))

    def _spread_at_one_end(self, node, shape):
        """A node to be spread over that shape, in the middle already where it has to be there."""
        while node.kind == "spread":
            node = node.inputs[0]
        of = (1,) * (len(shape) - len(node.shape)) + node.shape
        kept = [n == m for n, m in zip(of, shape, strict=True) if m != 1]
        runs = [kept[at] for at in range(len(kept)) if not at or kept[at] != kept[at - 1]]
        if len(runs) < 3:
            return node
        if len(runs) > 3:
            raise NotTaken("an operand that is spread over several axes")
        sizes = [m for m in shape if m != 1]
        first = kept.index(not kept[0])
        last = first + kept[first:].index(kept[0])
        before, between, behind = map(math.prod, (sizes[:first], sizes[first:last], sizes[last:]))
        if not kept[0]:  # its own numbers stand between: spread behind, they are the last ones
            rows = self.solid(self.spread(self.view(node, (between, 1)), (between, behind)))
            places = [at for at, n in enumerate(shape) if n != 1][:first]
            return self.view(rows, [1 if at in places else n for at, n in enumerate(shape)])
        if between > MOST_COPIES:
            raise NotTaken("an operand that is spread over too many in the middle")
        run = behind * between
        what = tuple((before, behind, 0, behind, at * behind, run) for at in range(between))
        copies = self.make("copies", (before, between, behind), node.whole, (node,), what)
        return self.view(copies, shape)

    def fold(self, kind, node, axes, keep_dims=False):
        """A sum, product, maximum or minimum over some axes.

        Raises:
            NotTaken: These axes are neither all, nor the first, nor the last ones.
        """
        rank = len(node.shape)
        axes = {axis % rank for axis in axes} if rank else set()
        kept = tuple(1 if at in axes else n for at, n in enumerate(node.shape))
        shape = kept if keep_dims else tuple(n for at, n in enumerate(node.shape) if at not in axes)
        # Of a dimension of 1 nothing is left to fold.
        folded = [at in axes for at, n in enumerate(node.shape) if n != 1]
        sizes = [n for n in node.shape if n != 1]
        if not any(folded):
            return self.view(node, shape)
        if all(folded):
            spread, split = "scalar", len(sizes)
        elif folded == sorted(folded, reverse=True):
            spread, split = "row", folded.index(False)
        elif folded == sorted(folded):
            spread, split = "column", folded.index(True)
        else:
            return self._fold_between(kind, node, folded, sizes, shape)
        rows = math.prod(sizes[:split])
        what = (kind, spread, rows, node.size // rows)
        result = {"scalar": (), "row": (node.size // rows,), "column": (rows,)}[spread]
        return self.view(self.make("fold", result, False, (node,), what), shape)

    def _fold_between(self, kind, node, folded, sizes, shape):
        first = folded.index(True)
        last = len(folded) - folded[::-1].index(True)
        if folded[0] or folded[-1] or not all(folded[first:last]):
            raise NotTaken("a sum over several axes that are not side by side")
        parts = tuple(map(math.prod, (sizes[:first], sizes[first:last], sizes[last:])))
        made = self.make("middle", (parts[0], parts[2]), False, (node,), (kind, *parts))
        return self.view(made, shape)


def numbers_of(node):
    """Those of a constant node, such as axes; NotTaken of another."""
    if node.kind != "constant":
        raise NotTaken("axes or shapes that are computed")
    return [int(axis) for axis in node.value.ravel()]
