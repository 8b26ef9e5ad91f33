"""The order in which nodes are computed, those of elements together wherever they can be."""

from dataclasses import dataclass, field

from tfae.programs.nodes import NotTaken

MOST_OPERANDS = 40  # of a map, whose registers are 96
MOST_OPS = 300


@dataclass(eq=False)
class Map:
    """Nodes that are computed in one go over as many elements.

    Attributes:
        size: How many elements.
        columns: Of the elements as [rows, columns]; None while nothing depends on it.
        ops: Of each "map" node, in order, its operands: (source, spread).
        folds: Of each "fold" node of what they give, the same.
    """

    size: int
    columns: int | None = None
    ops: dict = field(default_factory=dict)
    folds: dict = field(default_factory=dict)
    _operands: set = field(default_factory=set)

    def takes(self, size, columns):
        """Whether a node over so many elements may join."""
        return (
            size == self.size
            and (columns is None or self.columns in (None, columns))
            and len(self.ops) < MOST_OPS
            and len(self._operands) + len(self.folds) < MOST_OPERANDS
        )

    def operands(self):
        """Those of each node."""
        return [*self.ops.values(), *self.folds.values()]

    def add(self, node, operands, columns):
        """Have a node join."""
        (self.ops if node.kind == "map" else self.folds)[node] = operands
        self._operands |= {source for source, _ in operands if source not in self.ops}
        self.columns = columns or self.columns


class Schedule:
    """Instructions, each a `Map` or a node of another kind.

    Args:
        nodes: Every `Node`, each behind what it depends on.
        wanted: Those that must be computed.

    Attributes:
        instructions: In order.
        place: Of each node that one of them computes, its number.

    Raises:
        NotTaken: An operand is spread over a map's elements in a way that the kernels have not.
    """

    def __init__(self, nodes, wanted):
        self.instructions, self.place = [], {}
        needed = _needed(wanted)
        for node in nodes:
            if node in needed and node.kind not in ("constant", "variable", "view", "spread"):
                self._add(node)

    def reads(self, number):
        """The nodes that an instruction reads from the memory."""
        instruction = self.instructions[number]
        if not isinstance(instruction, Map):
            return [node.source for node in instruction.inputs]
        operands = (part for parts in instruction.operands() for part in parts)
        return [source for source, _ in operands if source not in instruction.ops]

    def all_reads(self):
        """Those of all instructions."""
        return [node for number in range(len(self.instructions)) for node in self.reads(number)]

    def _add(self, node):
        if node.kind not in ("map", "fold"):
            self.place[node] = len(self.instructions)
            self.instructions.append(node)
            return
        inputs = node.inputs
        shape = node.shape if node.kind == "map" else inputs[0].shape
        size = node.size if node.kind == "map" else inputs[0].size
        operands, columns = [], set()
        if node.kind == "fold" and node.what[1] != "scalar":
            columns.add(node.what[3])
        for given in inputs:
            source, spread, of = _operand(given, shape)
            operands.append((source, spread))
            columns |= {of} - {None}
        if len(columns) > 1:
            raise NotTaken("operands that are spread in several ways")
        columns = next(iter(columns), None)
        number = self._room(size, columns, operands)
        self.instructions[number].add(node, operands, columns)
        self.place[node] = number

    def _room(self, size, columns, operands):
        """The number of a map, a new one where no other has room, that finds these operands."""
        first = 0
        for source, spread in operands:
            if source in self.place:
                number = self.place[source]
                instruction = self.instructions[number]
                joins = isinstance(instruction, Map) and source in instruction.ops
                joins = joins and spread == "full" and instruction.size == size
                first = max(first, number + (not joins))
        for number in range(first, len(self.instructions)):
            instruction = self.instructions[number]
            if isinstance(instruction, Map) and instruction.takes(size, columns):
                return number
        self.instructions.append(Map(size))
        return len(self.instructions) - 1


def _needed(wanted):
    needed, left = set(), list(wanted)
    while left:
        node = left.pop()
        if node not in needed:
            needed.add(node)
            left += node.inputs
    return needed


def _operand(node, shape):
    """(source, spread, columns) of a map's operand over elements of a shape.

    The spread is "full", "scalar", "row" or "column"; `columns` are those of the elements as [rows,
    columns] where it depends on them, else None.
    """
    while node.kind == "spread":
        node = node.inputs[0]
    of = (1,) * (len(shape) - len(node.shape)) + node.shape
    kept = [n == m for n, m in zip(of, shape, strict=True) if m != 1]
    columns = None
    if all(kept):
        spread = "full"
    elif not any(kept):
        spread = "scalar"
    else:
        rest = 1
        for n in shape:
            rest *= n
        if kept == sorted(kept):
            spread, columns = "row", node.size
        elif kept == sorted(kept, reverse=True):
            spread, columns = "column", rest // node.size
        else:
            raise NotTaken("an operand that is spread over axes in the middle")
    return node.source, spread, columns
