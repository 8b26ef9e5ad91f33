"""How the columns of a float table are brought to the range that the model can rebuild.

Bytes are not this module's: they are divided by 255 inside the compiled step, whatever the model.
"""

from dataclasses import dataclass

import numpy as np

from tfae.errors import ConfigError
from tfae.nn.spec import OUTPUT_RANGE

CHUNK_ROWS = 4096  # so that statistics of a big table never need a second copy of it


@dataclass(frozen=True)
class Scaling:
    """`(rows - center) / width`, column by column; the identity where both are None.

    Attributes:
        kind: "none", "standard" (zero mean, unit deviation), "minmax" (0 to 1), or "stored" where
            it was read back from a model.
        center: [D] float32 or None.
        width: [D] float32 or None; never zero.
    """

    kind: str = "none"
    center: np.ndarray | None = None
    width: np.ndarray | None = None

    def apply(self, rows):
        """Scaled rows, from float32 rows [N, D] of numpy or TensorFlow."""
        return rows if self.center is None else (rows - self.center) / self.width

    def invert(self, rows):
        """Rows in their own units, from scaled float32 rows [N, D] of numpy or TensorFlow."""
        return rows if self.center is None else rows * self.width + self.center

    @classmethod
    def fit(cls, kind, chunks):
        """The scaling of that kind for these training rows.

        Args:
            kind: "none", "standard" or "minmax".
            chunks: Iterable of float32 arrays [n, D]; all of them together are the rows.
        """
        if kind == "none":
            return cls()
        if kind == "minmax":
            low, high = _limits(chunks)
            center, width = low, high - low
        else:
            center, width = _moments(chunks)
        # A column of one value has nothing to scale, nor has one whose values differ by less than
        # processors count with, which take such differences for zero.
        width = np.where(width < np.finfo(np.float32).tiny, 1.0, width)
        with np.errstate(over="ignore"):  # fit_scaling refuses what is too wide
            return cls(kind, center.astype(np.float32), width.astype(np.float32))


def fit_scaling(scale, rows, validation, stack, loss):
    """The scaling that `--scale` asks for, checked against what the model can give.

    Args:
        scale: "auto", "none", "standard" or "minmax". Auto leaves bytes and rows that lie within
            0 to 1 as they are, standardises for an output without bounds, and else takes minmax.
        rows: Training rows [N, D], uint8 or float32, an array or `RowsOnDisk`.
        validation: Validation rows [M, D]: where rows are left as they are, these must fit too.
        stack: The `Stack` to be trained.
        loss: The loss's name.

    Raises:
        ConfigError: The scaled rows could not be rebuilt by this output activation and loss, or
            float32 cannot scale them.
    """
    bounds = OUTPUT_RANGE[stack.activations[-1]]
    if loss == "binary_crossentropy":
        bounds = (0.0, 1.0)
    if rows.dtype == np.uint8:
        if scale not in ("auto", "none"):
            raise ConfigError(
                f"--scale {scale} is for float tables, and these rows are bytes, which are scaled "
                "by 1/255: leave --scale out, or save the rows as float32"
            )
        return Scaling()
    if scale == "standard" and bounds != (None, None):
        raise ConfigError(
            f"--scale standard gives values below 0 and above 1, which a {stack.activations[-1]} "
            f"output with {loss} cannot give: use --scale minmax, or --output-activation linear "
            "--loss mse"
        )
    limits = _limits(chunks_of(rows))
    if scale in ("auto", "none"):
        of_all = np.array([limits, _limits(chunks_of(validation))])
        low, high = of_all[:, 0].min(), of_all[:, 1].max()
        if scale == "auto" and low >= 0.0 and high <= 1.0:
            scale = "none"
        elif scale == "auto":
            scale = "standard" if bounds == (None, None) else "minmax"
        elif not _within((low, high), bounds):
            raise ConfigError(
                f"the rows lie between {low:g} and {high:g}, which a {stack.activations[-1]} "
                f"output with {loss} cannot give: use --scale minmax, or --output-activation "
                "linear --loss mse"
            )
    # Of the limits alone minmax is known; the deviations need the rows once more.
    chunks = [np.float32(limits)] if scale == "minmax" else chunks_of(rows)
    scaling = Scaling.fit(scale, chunks)
    _check_scaled(scaling, limits, bounds)
    return scaling


def _check_scaled(scaling, limits, bounds):
    """Refuses a column that the scaling does not bring to where the output can follow.

    A scaled column is never out of order, so that its lowest and highest value tell of the others.
    """
    with np.errstate(all="ignore"):
        low, high = scaling.apply(np.float32(limits))
        slack = 4 * np.finfo(np.float32).eps
        bad = ~(np.isfinite(low) & np.isfinite(high))
        if scaling.kind == "minmax":
            bad |= (low < -slack) | (high > 1 + slack)
    if bad.any():
        column = int(np.argmax(bad))
        raise ConfigError(
            f"--scale {scaling.kind} cannot bring column {column} (counted from 0), which lies "
            f"between {limits[0][column]:g} and {limits[1][column]:g}, to where float32 and the "
            "output hold it: divide it by a constant, or drop it"
        )


def chunks_of(rows):
    """The rows [N, D] of an array, a tensor or `RowsOnDisk`, a few thousand at a time."""
    for start in range(0, rows.shape[0], CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]


def _limits(chunks):
    """The lowest and the highest value of each column, [2, D] float64."""
    low, high = np.inf, -np.inf
    for chunk in chunks:
        low, high = np.minimum(low, chunk.min(axis=0)), np.maximum(high, chunk.max(axis=0))
    return np.array([low, high], np.float64)


def _moments(chunks):
    """The mean and the deviation of each column, [D] float64; 0 exactly of one value."""
    count, total, squares, shift = 0, 0.0, 0.0, None
    for chunk in chunks:
        chunk = chunk.astype(np.float64)
        if shift is None:
            shift = chunk[0]  # taken off first: columns far from zero keep their digits
        count += len(chunk)
        total = total + (chunk - shift).sum(axis=0)
        squares = squares + np.square(chunk - shift).sum(axis=0)
    mean = total / count
    return shift + mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))


def _within(limits, bounds):
    low, high = bounds
    return (low is None or limits[0] >= low) and (high is None or limits[1] <= high)
