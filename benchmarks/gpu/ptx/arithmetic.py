"""The numbers of PTX and what its instructions make of them, a lane beside the other."""

import ml_dtypes
import numpy as np

LANES = 32  # of a warp
TYPES = {
    f"{letter}{8 * size}": np.dtype(f"{kind}{size}")
    for letter, kind in (("b", "u"), ("u", "u"), ("s", "i"))
    for size in (1, 2, 4, 8)
}
TYPES |= {"f16": np.dtype("f2"), "f32": np.dtype("f4"), "f64": np.dtype("f8")}
TYPES |= {"bf16": np.dtype(ml_dtypes.bfloat16), "pred": np.dtype(bool)}
TINY = np.finfo(np.float32).tiny  # smaller ones are flushed to 0


def _quotient(a, b):
    wide, by = a.astype(np.int64), np.where(b == 0, 1, b).astype(np.int64)  # idle lanes may have 0
    return (abs(wide) // abs(by) * np.sign(wide) * np.sign(by)).astype(a.dtype)


def _shifted(shift):
    def by(a, count):
        bits = 8 * a.dtype.itemsize
        shifted = shift(a, np.minimum(count, bits - 1).astype(a.dtype))
        return shifted if a.dtype.kind == "i" else np.where(count < bits, shifted, a.dtype.type(0))

    return by


def _approximate(function):
    """A function that is off by up to two in the last place, always alike for the same input."""

    def approximate(*inputs):
        exact = function(*inputs)
        mixed = inputs[-1].view(np.uint32) * np.uint32(2654435761)
        return exact * (1 + (mixed / 2**31 - 1) * 2.0**-22).astype(np.float32)

    return approximate


def flushed(values):
    """Numbers that are too small for all their digits are 0."""
    return values * (np.abs(values) >= TINY)


ELEMENTWISE = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mad": lambda a, b, c: a * b + c,
    "fma": lambda a, b, c: (a.astype(np.float64) * b + c).astype(np.float32),
    "div": _quotient,
    "div.full": _approximate(np.divide),
    "rem": lambda a, b: a - b * _quotient(a, b),
    "min": np.fmin,
    "max": np.fmax,
    "neg": np.negative,
    "abs": np.abs,
    "copysign": lambda sign, size: np.copysign(size, sign),
    "rcp": _approximate(np.reciprocal),
    "sqrt": _approximate(np.sqrt),
    "ex2": _approximate(np.exp2),
    "lg2": _approximate(np.log2),
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shl": _shifted(np.left_shift),
    "shr": _shifted(np.right_shift),
    "selp": lambda a, b, chosen: np.where(chosen, a, b),
}
COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,  # of integers
    "neu": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "gtu": lambda a, b: ~(a <= b),
}
TO_WHOLE = {"rzi": np.trunc, "rni": np.rint}
