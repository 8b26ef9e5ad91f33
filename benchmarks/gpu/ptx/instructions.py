"""The instructions of a kernel in a PTX file, as functions of a warp, by the PTX ISA."""

import operator
import re
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gpu.ptx.arithmetic import (
    COMPARISONS,
    ELEMENTWISE,
    LANES,
    TO_WHOLE,
    TYPES,
    flushed,
)
from benchmarks.gpu.ptx.faults import Fault
from benchmarks.gpu.ptx.memory import ARGUMENTS, SHARED

# Others may mean something else.
SPELLINGS = re.compile(
    "|".join(
        (
            r"(add|sub|mul|neg|abs|min|max|mul\.rn|fma\.rn)\.ftz\.f32|add\.f64|copysign\.f32",
            r"(div\.full|(rcp|sqrt|ex2|lg2)\.approx)\.ftz\.f32",
            r"(add|sub|min|max|mul\.lo)\.[su](32|64)|(mul\.wide|mad\.lo|div|rem)\.[su]32",
            r"(and|or|xor|not)\.(b16|b32|b64|pred)|shl\.b(32|64)|shr\.[bsu](32|64)",
            r"setp\.(eq|ne|lt|le|gt|ge)\.[bsu](32|64)|setp\.(eq|neu|lt|le|gt|ge|gtu)\.ftz\.f32",
            r"selp\.[bfsu](32|64)|mov\.(pred|[bfsu](16|32|64))",
            r"cvt\.(rn\.b?f16|rzi\.f32|rni\.f32|rzi\.ftz\.s32|ftz\.f64)\.f32",
            r"cvt\.(rn\.f32\.(s32|u16)|[su]64\.[su]32|u32\.u64)|cvta(\.to)?\.(global|shared)\.u64",
            r"(ld|st)(\.global|\.shared)?(\.v[24])?\.[bfsu](8|16|32|64)",
            r"(ld|st)\.relaxed\.gpu\.global(\.v[24])?\.[bfsu]32|ld\.param(\.v[24])?\.[bfsu](32|64)",
            r"ldmatrix\.sync\.aligned\.m8n8\.x4(\.trans)?\.shared\.b16",
            r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.(bf16\.bf16|f16\.f16)\.f32",
            r"shfl\.sync\.(bfly|idx)\.b32|bar\.sync|bar\.warp\.sync|bra(\.uni)?|ret",
        )
    )
)
SPECIAL = {
    "%tid.x": lambda warp: warp.threads.astype(np.uint32),
    "%ctaid.x": lambda warp: np.full(LANES, warp.block.index, np.uint32),
    "%nctaid.x": lambda warp: np.full(LANES, warp.block.count, np.uint32),
}


class Instruction(NamedTuple):
    """A line of a kernel.

    Attributes:
        text: The line.
        kind: "lanes", which each lane does for itself; "warp", which all 32 do together; "branch";
            "end".
        run: Does it: of "lanes" (warp, which lanes); of "warp" (warp); of "branch" tells (warp)
            which lanes take it; of "end" None.
        label: To which a branch leads.
    """

    text: str
    kind: str
    run: Any = None
    label: str | None = None


def kernels_of(ptx):
    """The `Kernel`s of a PTX file's text, by name.

    Raises:
        Fault: One has an instruction that is not known here.
    """
    bodies = re.findall(r"\.visible \.entry (\w+)\(.*?\n\{(.*?)\n\}\n", ptx, re.DOTALL)
    return {name: Kernel(name, body) for name, body in bodies}


class Kernel:
    """A kernel's instructions.

    Args:
        name: The kernel's.
        body: What stands between its braces in the PTX file.

    Raises:
        Fault: It has an instruction that is not known here.
    """

    def __init__(self, name, body):
        self.arguments = f"{name}_param_0"
        self.registers = {}  # prefix -> (how many, dtype)
        self.labels, self.code = {}, []
        body = re.sub(r"//.*|\.pragma[^;]*;", "", body)
        body = re.sub(r"\{(?!\s*%)|(?<=;)\s*\}", " ", body)  # braces, but those of vectors
        statements = [statement.strip() for statement in body.split(";")]
        for statement in statements:
            declared = re.fullmatch(r"\.reg \.(\w+)\s+(%[a-z]+)(?:<(\d+)>)?", statement)
            if declared:
                kind, prefix, count = declared.groups()
                self.registers[prefix] = (int(count or 1), TYPES[kind])
        for statement in statements:
            while label := re.match(r"(\$\w+):\s*", statement):
                self.labels[label[1]] = len(self.code)
                statement = statement[label.end() :]
            if statement and not statement.startswith(".reg"):
                try:
                    self.code.append(self._translated(statement))
                except (AttributeError, KeyError, ValueError):  # an operand that is not known here
                    raise Fault(f"unknown instruction {statement}") from None
        self.joins = set(self.labels.values())

    def _translated(self, text):
        condition, operation, rest = re.fullmatch(
            r"(?:@(!?%p\d+)\s+)?(\S+)\s*(.*)", text, re.DOTALL
        ).groups()
        name, *modifiers = operation.split(".")
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)
        if not SPELLINGS.fullmatch(operation) or (condition and name != "bra"):
            raise Fault(f"unknown instruction {text}")
        if name == "bra":
            return Instruction(text, "branch", self._condition(condition), operands[0])
        if name == "ret":
            return Instruction(text, "end")
        if name == "bar":
            wanted, wait = (
                (["-1"], "synchronise") if "warp" in modifiers else (["0"], "wait_for_block")
            )
            if operands != wanted:
                raise Fault(f"unknown instruction {text}")
            return Instruction(text, "warp", operator.methodcaller(wait))
        kind = "warp" if name in ("shfl", "ldmatrix", "mma") else "lanes"
        translate = getattr(self, f"_{name}", None) or partial(self._elementwise, name)
        return Instruction(text, kind, translate(modifiers, operands))

    def _condition(self, condition):
        if condition is None:
            return lambda warp: np.full(LANES, True)
        holds = self._reader(condition.lstrip("!"), TYPES["pred"])
        return (lambda warp: ~holds(warp)) if condition.startswith("!") else holds

    # Operands.

    def _reader(self, operand, dtype):
        """What gives an operand's value [32] of a warp."""
        register = re.fullmatch(r"(%[a-z]+)(\d*)", operand)
        if register:
            prefix, index = register[1], int(register[2] or 0)
            parts = self.registers[prefix][1].itemsize // dtype.itemsize
            return lambda warp: warp.registers[prefix][index].view(dtype)[::parts]  # the low one
        if operand in SPECIAL:
            return SPECIAL[operand]
        if operand == "shared_memory":
            value = dtype.type(0)
        elif operand == self.arguments:
            value = dtype.type(ARGUMENTS)
        elif operand.startswith(("0f", "0d")):
            bits = "u4" if operand[1] == "f" else "u8"
            value = np.array(int(operand[2:], 16), bits).view(dtype)
        else:
            value = np.array(int(operand, 0), "i8").view("u8").astype(f"u{dtype.itemsize}")
            value = value.astype(bool) if dtype.kind == "b" else value.view(dtype)
        constant = np.full(LANES, value)
        return lambda warp: constant

    def _writer(self, operand):
        """What puts values [32] to those lanes of a register: (warp, which lanes, values)."""
        prefix, index = re.fullmatch(r"(%[a-z]+)(\d*)", operand).groups()
        dtype, index = self.registers[prefix][1], int(index or 0)

        def write(warp, lanes, values):
            if values.dtype.itemsize < dtype.itemsize:  # an integer, which keeps its sign
                values = values.astype(f"{values.dtype.kind}{dtype.itemsize}")
            np.copyto(warp.registers[prefix][index], values.view(dtype), where=lanes)

        return write

    def _vector(self, operand, make):
        """`make` of each part of {a, b}."""
        return [make(part.strip()) for part in operand.strip("{}").split(",")]

    def _address(self, operand):
        """What gives the addresses [32] of [base+offset]."""
        base, prefix, offset = re.fullmatch(
            r"\[((%[a-z]+)?[^+\]]+)(?:\+(-?\d+))?\]", operand
        ).groups()
        read = self._reader(base, self.registers[prefix][1] if prefix else TYPES["u64"])
        return lambda warp: read(warp).astype(np.int64) + int(offset or 0)

    # Instructions of each lane.

    def _elementwise(self, name, modifiers, operands):
        dtype = TYPES[modifiers[-1]]
        function = ELEMENTWISE["div.full" if "full" in modifiers else name]
        dtypes = [dtype] * (len(operands) - 1)
        if name == "selp":
            dtypes[2] = TYPES["pred"]
        if name in ("shl", "shr"):
            dtypes[1] = TYPES["u32"]
        readers = [self._reader(*pair) for pair in zip(operands[1:], dtypes, strict=True)]
        write = self._writer(operands[0])
        of_wide = f"{dtype.kind}{2 * dtype.itemsize}" if "wide" in modifiers else None
        flushes, divides = "ftz" in modifiers, name in ("div", "rem") and dtype.kind != "f"

        def compute(warp, lanes):
            values = [read(warp) for read in readers]
            if of_wide:
                values = [value.astype(of_wide) for value in values]
            if flushes:
                values = [flushed(value) for value in values]
            if divides and (values[1][lanes] == 0).any():
                raise Fault("it divides by 0")
            made = function(*values)
            write(warp, lanes, flushed(made) if flushes else made)

        return compute

    def _mov(self, modifiers, operands):
        to, of = operands
        dtype = TYPES[modifiers[-1]]
        half = np.dtype(f"u{max(dtype.itemsize // 2, 1)}")
        if to.startswith("{"):
            read, writers = self._reader(of, dtype), self._vector(to, self._writer)

            def split(warp, lanes):
                values = read(warp).copy().view(half).reshape(LANES, -1)
                for write, part in zip(writers, values.T.copy(), strict=True):
                    write(warp, lanes, part)

            return split
        write = self._writer(to)
        if of.startswith("{"):
            readers = self._vector(of, lambda part: self._reader(part, half))
            return lambda warp, lanes: write(
                warp, lanes, np.stack([read(warp) for read in readers], axis=1).view(dtype)[:, 0]
            )
        read = self._reader(of, dtype)
        return lambda warp, lanes: write(warp, lanes, read(warp))

    def _cvt(self, modifiers, operands):
        to, of = (TYPES[name] for name in modifiers[-2:])
        write, read = self._writer(operands[0]), self._reader(operands[1], of)
        prepare = TO_WHOLE.get(
            modifiers[0], flushed if "ftz" in modifiers else lambda values: values
        )
        whole = (
            to.kind == "i" and of.kind == "f"
        )  # of which NaN is 0, and what is too large the largest

        def convert(warp, lanes):
            values = prepare(read(warp))
            if whole:
                bounds = np.iinfo(to)
                values = np.nan_to_num(values.astype(np.float64)).clip(bounds.min, bounds.max)
            write(warp, lanes, values.astype(to))

        return convert

    def _cvta(self, modifiers, operands):
        write, read = self._writer(operands[0]), self._reader(operands[1], TYPES["u64"])
        offset = np.uint64(SHARED if "shared" in modifiers else 0)
        if "to" in modifiers:
            return lambda warp, lanes: write(warp, lanes, read(warp) - offset)
        return lambda warp, lanes: write(warp, lanes, read(warp) + offset)

    def _setp(self, modifiers, operands):
        dtype, compare = TYPES[modifiers[-1]], COMPARISONS[modifiers[0]]
        write = self._writer(operands[0])
        readers = [self._reader(operand, dtype) for operand in operands[1:]]
        prepare = flushed if "ftz" in modifiers else lambda values: values
        return lambda warp, lanes: write(
            warp, lanes, compare(*(prepare(read(warp)) for read in readers))
        )

    def _ld(self, modifiers, operands):
        dtype, address = TYPES[modifiers[-1]], self._address(operands[1])
        writers = self._vector(operands[0], self._writer)

        def load(warp, lanes):
            at = address(warp)
            values = warp.block.memory.load(warp, lanes, at, dtype, len(writers), modifiers)
            for write, part in zip(writers, values.T.copy(), strict=True):
                write(warp, lanes, part)

        return load

    def _st(self, modifiers, operands):
        dtype, address = TYPES[modifiers[-1]], self._address(operands[0])
        readers = self._vector(operands[1], lambda part: self._reader(part, dtype))

        def store(warp, lanes):
            values = np.stack([read(warp) for read in readers], axis=1)
            warp.block.memory.store(warp, lanes, address(warp), values, modifiers)

        return store

    # Instructions of a whole warp.

    def _shfl(self, modifiers, operands):
        to, *inside = operands[0].split("|")  # "inside" says whether the other lane is there
        write, valid = self._writer(to), [self._writer(register) for register in inside]
        value, other, clamp, members = (self._reader(of, TYPES["b32"]) for of in operands[1:])
        numbers = np.arange(LANES)

        def shuffle(warp):
            lane = other(warp).astype(int)
            if (clamp(warp) != 31).any() or (members(warp) != 2**32 - 1).any() or (lane > 31).any():
                raise Fault("it is not one of all lanes of a warp")
            write(warp, True, value(warp)[numbers ^ lane if "bfly" in modifiers else lane])
            for put in valid:
                put(warp, True, np.full(LANES, True))

        return shuffle

    def _ldmatrix(self, modifiers, operands):
        writers, address = self._vector(operands[0], self._writer), self._address(operands[1])

        def load(warp):
            # Lane 8 i + r says where row r of matrix i is; a lane is given two neighbours of a row.
            rows = warp.block.memory.load(
                warp, True, address(warp), TYPES["b16"], 8, modifiers
            ).reshape(4, 8, 8)
            matrices = rows.transpose(0, 2, 1) if "trans" in modifiers else rows
            for write, matrix in zip(writers, matrices, strict=True):
                write(warp, True, matrix.copy().view(np.uint32).reshape(LANES))

        return load

    def _mma(self, modifiers, operands):
        # m16n8k16. Lane 4 g + t has pairs of columns of the rows g and g + 8 of A and the result,
        # and pairs of rows of column g of B.
        half = TYPES[modifiers[-2]]
        writers = self._vector(operands[0], self._writer)
        a, b = (self._vector(of, lambda r: self._reader(r, TYPES["b32"])) for of in operands[1:3])
        c = self._vector(operands[3], lambda register: self._reader(register, TYPES["f32"]))
        g, t = np.divmod(np.arange(LANES), 4)
        rows, pair = (g, g + 8), np.stack([2 * t, 2 * t + 1])

        def both(read, warp):
            return read(warp).copy().view(half).reshape(LANES, 2).T.astype(np.float64)

        def multiply(warp):
            left, right, sums = np.empty((16, 16)), np.empty((16, 8)), np.empty((16, 8))
            for i in range(4):
                left[rows[i % 2], pair + i // 2 * 8] = both(a[i], warp)
                sums[rows[i // 2], 2 * t + i % 2] = c[i](warp)
            for i in range(2):
                right[pair + 8 * i, g] = both(b[i], warp)
            sums = (sums + left @ right).astype(np.float32)
            for i in range(4):
                writers[i](warp, True, sums[rows[i // 2], 2 * t + i % 2])

        return multiply
