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
        count, total, squares = 0, 0.0, 0.0
        low, high = np.inf, -np.inf
        shift = None
        for chunk in chunks:
            chunk = chunk.astype(np.float64)
            if shift is None:
                shift = chunk[0]  # taken off first: columns far from zero keep their digits
            low = np.minimum(low, chunk.min(axis=0))
            high = np.maximum(high, chunk.max(axis=0))
            count += len(chunk)
            total = total + (chunk - shift).sum(axis=0)
            squares = squares + np.square(chunk - shift).sum(axis=0)
        if kind == "minmax":
            center, width = low, high - low
        else:
            mean = total / count
            center, width = shift + mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        # A constant column has nothing to scale; rounding must not make it look like a signal.
        constant = width <= np.maximum(1e-7 * np.maximum(np.abs(low), np.abs(high)), 1e-30)
        width = np.where(constant, 1.0, width)
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
        ConfigError: The scaled rows could not be rebuilt by this output activation and loss.
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
    if scale in ("auto", "none"):
        low, high = _limits(rows, validation)
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
    if scale == "standard" and bounds != (None, None):
        raise ConfigError(
            f"--scale standard gives values below 0 and above 1, which a {stack.activations[-1]} "
            f"output with {loss} cannot give: use --scale minmax, or --output-activation linear "
            "--loss mse"
        )
    return Scaling.fit(scale, chunks_of(rows))


def chunks_of(rows):
    """The rows [N, D] of an array, a tensor or `RowsOnDisk`, a few thousand at a time."""
    for start in range(0, rows.shape[0], CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]


def _limits(*parts):
    extremes = [(chunk.min(), chunk.max()) for rows in parts for chunk in chunks_of(rows)]
    return min(low for low, _ in extremes), max(high for _, high in extremes)


def _within(limits, bounds):
    low, high = bounds
    return (low is None or limits[0] >= low) and (high is None or limits[1] <= high)
