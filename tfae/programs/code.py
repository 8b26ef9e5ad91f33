"""Schedules as the code that the kernels read, and where in their memory everything lies."""

import itertools

import numpy as np

from tfae.programs.schedule import Map

ALIGNED = 16  # floats: a line of the cache
# As in src/program.h and src/map.h.
_KINDS = (
    *("map", "matmul", "rows", "random", "argmax", "copy", "transpose", "gather", "scatter"),
    "middle",
)
_SPREADS = ("full", "scalar", "row", "column")
_FOLDS = ("sum", "max", "min", "product")
# Work of some microseconds, from which on it pays to have threads share an instruction: they meet
# in one. So much is to be left for each of them.
SHARED_NUMBERS = 30_000
SHARED_PRODUCTS = 200_000
SHARED_DRAWS = 3_000


class Memory:
    """What all programs of a step have in common: constants, and variables behind them.

    Args:
        variables: Of each (how many numbers, whether whole ones).
        constants: Their nodes.
    """

    def __init__(self, variables, constants):
        self._sizes = [_floats(*of) for of in variables]
        self._constants, self._constants_size = {}, 0
        for node in constants:
            if node not in self._constants:
                self._constants[node] = self._constants_size
                self._constants_size += _floats(node.size, node.whole)

    def constant(self, node):
        """Where it lies."""
        return self._constants[node]

    def variables(self):
        """Where the variables lie, behind the constants."""
        return self._constants_size + np.cumsum([0, *self._sizes])[:-1]

    def end(self):
        """Behind all of them."""
        return self._constants_size + sum(self._sizes)

    def contents(self):
        """The constants [floats]."""
        contents = np.zeros(self._constants_size, np.float32)
        for node, at in self._constants.items():
            numbers = np.ascontiguousarray(node.value).ravel().view(np.float32)
            contents[at : at + len(numbers)] = numbers
        return contents


def _floats(count, whole):
    return -(-count * (1 + whole) // ALIGNED) * ALIGNED


class Code:
    """The code of a schedule.

    Args:
        schedule: The `Schedule`.
        final: {place: node} of the variables that change.
        outputs: The nodes of what is returned.
        memory: The `Memory`.
        rows: B.
        codes: Of each operation of a map, by name, its number.

    Attributes:
        words: int32.
        end: How many floats of memory it takes.
        outputs: Where what is returned lies.
        most_columns, most_folds: Of what the threads gather.
        most_threads: So many have something to do.
    """

    def __init__(self, schedule, final, outputs, memory, rows, codes):
        self._schedule, self._memory, self._codes = schedule, memory, codes
        self._variables = memory.variables()
        self._places = {}
        self.most_columns = self.most_folds = self.most_threads = 1
        copies = self._settle(final, outputs)
        words = [rows]
        for number, instruction in enumerate(schedule.instructions):
            words += self._encoded(number, instruction)
        for node, place in copies:
            count = node.size * (1 + node.whole)
            what = [1, count, self._at(node.source), count, int(self._variables[place]), count]
            words += _instruction("copy", what)
        self.words = np.array(words, np.int32)
        self.outputs = [self._at(node.source) for node in outputs]

    def _settle(self, final, outputs):
        """Give every node that is read later a place; return what is copied at the end."""
        schedule, never = self._schedule, len(self._schedule.instructions)
        last = {}  # of each node that an instruction reads from the memory, the last such
        for number in range(len(schedule.instructions)):
            for source in schedule.reads(number):
                last[source] = number
        last |= {node.source: never for node in outputs}
        variables = {node.what[0]: node for node in last if node.kind == "variable"}
        copies, kept = [], set()
        for place, node in final.items():
            source, before = node.source, variables.get(place)
            number = schedule.place[source]
            # In place, where nothing reads the old value any more.
            if (
                source.kind == "map"
                and source not in self._places
                and self._is_read_last(before, last, number)
            ):
                self._places[source] = int(self._variables[place])
            else:
                copies.append((node, place))
                last[source] = never
            kept.add(source)
        self._allocate(last, kept)
        return copies

    def _is_read_last(self, before, last, number):
        if before is None or last[before] < number:
            return True
        instruction = self._schedule.instructions[number]
        operands = instruction.operands()
        spreads = {spread for parts in operands for source, spread in parts if source is before}
        return last[before] == number and spreads == {"full"}

    def _allocate(self, last, kept):
        free, self.end, released = [], self._memory.end(), {}
        self._stored = set()
        for number, instruction in enumerate(self._schedule.instructions):
            is_map = isinstance(instruction, Map)
            made = [*instruction.ops, *instruction.folds] if is_map else [instruction]
            for node in made:
                if node not in last and node not in kept and node.kind in ("map", "fold"):
                    continue
                self._stored.add(node)
                if node in self._places:
                    continue
                size = _floats(node.size, node.whole)
                self._places[node] = self._take(free, size)
                released.setdefault(last.get(node, number), []).append((self._places[node], size))
            for at, size in released.pop(number, ()):
                free.append((at, size))
            free = _merged(free)

    def _take(self, free, size):
        fits = [(room, at) for at, room in free if room >= size]
        if fits:
            room, at = min(fits)
            free.remove((at, room))
            if room > size:
                free.append((at + size, room - size))
            return at
        at, self.end = self.end, self.end + size
        return at

    def _at(self, node):
        if node.kind == "constant":
            return self._memory.constant(node)
        if node.kind == "variable":
            return int(self._variables[node.what[0]])
        return self._places[node]

    def _encoded(self, number, node):
        if isinstance(node, Map):
            return self._map(node)
        to, sources = self._at(node), [self._at(given.source) for given in node.inputs]
        if node.kind == "rows":
            columns = node.size // node.shape[0]
            what = [node.what[0], node.shape[0], columns, int(node.whole), to]
            return self._shared("rows", what, node.size, SHARED_NUMBERS)
        if node.kind == "matmul":
            rows, columns, depth, *transposed = node.what
            what = [rows, columns, depth, *map(int, transposed), *sources, to]
            return self._shared("matmul", what, rows * columns * depth, SHARED_PRODUCTS)
        if node.kind == "random":
            what = [node.size, int(node.what[0]), sources[0], to]
            return self._shared("random", what, node.size, SHARED_DRAWS)
        if node.kind == "copies":
            words, times = [], 1 + node.whole
            for source, part in zip(sources * len(node.what), node.what, strict=False):
                rows, run, first, stride, to_first, to_stride = part
                at = [source + first * times, stride * times, to + to_first * times]
                words += _instruction("copy", [rows, run * times, *at, to_stride * times])
            return words
        if node.kind == "middle":
            kind, *sizes = node.what
            return _instruction("middle", [*sizes, _FOLDS.index(kind), *sources, to])
        if node.kind in ("gather", "scatter"):
            return _instruction(node.kind, [*node.what, *sources, to])
        rows, columns = node.what if node.kind == "argmax" else node.inputs[0].shape
        return _instruction(node.kind, [rows, columns, *sources, to])

    def _map(self, group):
        """The words of a map; registers are taken again once what they hold is not needed."""
        loads, ops, registers, held = [], [], {}, {}
        uses = {}  # of each node, by the last
        for at, operands in enumerate(group.ops.values()):
            uses |= {source: at for source, _ in operands}
        kept = [*(node for node in group.ops if node in self._stored)]
        kept += [source for operands in group.folds.values() for source, _ in operands]
        uses |= dict.fromkeys(kept, len(group.ops))
        free = [list(range(95, -1, -1)), list(range(95, -1, -1))]

        # Operands are there before the first operation.
        for source, spread in (part for parts in group.operands() for part in parts):
            if source not in group.ops and (source, spread) not in held:
                held[source, spread] = free[source.whole].pop()
                at = [held[source, spread], int(source.whole), _SPREADS.index(spread)]
                loads.append([*at, self._at(source)])

        def register(source, spread):
            return registers[source] if source in group.ops else held[source, spread]

        for at, (node, operands) in enumerate(group.ops.items()):
            given = [register(source, spread) for source, spread in operands]
            given += [given[0]] * (3 - len(given))
            for source in {source for source, spread in operands if source in group.ops}:
                if uses[source] == at:
                    free[source.whole].append(registers[source])
            registers[node] = free[node.whole].pop()
            ops.append([self._codes[node.what[0]], registers[node], *given])
        stores = [
            [registers[node], int(node.whole), self._at(node)]
            for node in group.ops
            if node in self._stored
        ]
        folds = []
        for node, ((source, spread),) in group.folds.items():
            kind, of, _, columns = node.what
            at = register(source, spread)
            folds.append([at, _FOLDS.index(kind), _SPREADS.index(of), self._at(node)])
            if of == "row":
                self.most_columns = max(self.most_columns, columns)
        self.most_folds = max(self.most_folds, len(folds))
        columns = group.columns or group.size
        what = [group.size // columns, columns, *map(len, (loads, ops, stores, folds))]
        what += itertools.chain.from_iterable(loads + ops + stores + folds)
        return self._shared("map", what, group.size * (len(ops) + len(loads)), SHARED_NUMBERS)

    def _shared(self, kind, what, work, least):
        self.most_threads = max(self.most_threads, 2 * work // least)
        return _instruction(kind, what, work >= least)


def _instruction(kind, what, shared=False):
    return [_KINDS.index(kind), len(what) + 3, int(shared), *map(int, what)]


def _merged(free):
    """Neighbouring pieces as one."""
    merged = []
    for at, size in sorted(free):
        if merged and sum(merged[-1]) == at:
            merged[-1] = (merged[-1][0], merged[-1][1] + size)
        else:
            merged.append((at, size))
    return merged
