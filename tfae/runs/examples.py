"""examples.npz: what the pictures of a run show."""

import dataclasses
import math

import numpy as np

from tfae.errors import DataError
from tfae.host.files import DAMAGE, write_whole

# The arrays' axes; those of one name are as long.
AXES = {
    "examples": "nD",
    "rebuilt": "nD",
    "worst": "mD",
    "worst_rebuilt": "mD",
    "worst_index": "m",
    "worst_mse": "m",
}


def save_examples(path, assessment, image_shape):
    """Keep an `Assessment`'s rows, and the images' shape or None."""
    arrays = {
        name: value
        for name, value in dataclasses.asdict(assessment).items()
        if isinstance(value, np.ndarray)
    }
    arrays["image_shape"] = np.array(image_shape or (), np.int64)

    def save(partial):
        np.savez_compressed(partial, **arrays)

    write_whole(path, save)


def read_examples(path):
    """The arrays that were kept, by name, and the images' shape or None.

    Raises:
        DataError: The file is not there, is damaged, or holds something else.
    """
    try:
        # numpy itself leaves a file open where the archive turns out to be damaged
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in (*AXES, "image_shape")}
    except (*DAMAGE, MemoryError) as error:  # damage may ask for rows without end
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read ({reason.splitlines()[0]})") from None
    if flaw := _flaw_of(arrays):
        raise DataError(f"{path} cannot be read ({flaw})")
    return arrays, tuple(arrays.pop("image_shape").tolist()) or None


def _flaw_of(arrays):
    lengths = {}
    for name, axes in AXES.items():
        array = arrays[name]
        kinds = "iu" if name == "worst_index" else "f"
        if array.dtype.kind not in kinds or array.ndim != len(axes) or not array.size:
            return f"{name} is of the shape {array.shape} and {array.dtype}"
        for axis, length in zip(axes, array.shape, strict=True):
            if lengths.setdefault(axis, length) != length:
                return f"{name} is of the shape {array.shape}, which does not fit to the others"
    image_shape = arrays["image_shape"]
    if image_shape.shape == (0,) or _is_drawable(image_shape, lengths["D"]):
        return None
    return f"image_shape is {image_shape.tolist()} for rows of {lengths['D']}"


def _is_drawable(image_shape, features):
    if image_shape.dtype.kind not in "iu" or image_shape.shape not in ((2,), (3,)):
        return False
    height, width, *channels = image_shape.tolist()
    return (
        min(height, width) > 0
        and channels in ([], [3], [4])
        and math.prod((height, width, *channels)) == features
    )
