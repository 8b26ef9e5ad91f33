"""The built-in digits: an MNIST-shaped set drawn from the fonts that matplotlib ships.

Every face and digit becomes, once, a small field of signed distances to its outline. An image is
that field read through a random smooth map of the plane, and its strokes are where the distance
passes a random threshold: one bilinear lookup gives the affine change, the elastic change, the
stroke width and the antialiased edge.

The same seed gives the same bytes on any number of cores, because every chunk of images has its own
random stream. It holds for the same versions of numpy (its random streams) and matplotlib (its
fonts). The processor does not matter: outlines are read unhinted, and what feeds an arithmetic
whose order or rounding could vary is first rounded to binary fractions that float32 sums exactly.
"""

import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfae.errors import ConfigError, DataError
from tfae.host import cache

VERSION = 1  # in the cache file's name: raise it with any change to the bytes drawn for a seed
SIDE = 28  # pixels of an image's side
CHUNK = 100  # images drawn at once, few enough for a core's cache; each chunk has a random stream
GRID = 64  # cells of a distance field's side
CELLS = 2.0  # field cells to an image pixel, before the random scale
GLYPH = 20.0  # pixels of the longer side of a glyph, before the random scale, as in MNIST
WAVES = 4  # cosines along each axis in the elastic change

FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)


class Glyphs(NamedTuple):
    """Digits and their labels, uint8: images [N, 28, 28] bright on black, labels [N] in 0..9."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def generate(seed=0, train=60_000, test=10_000, quiet=True):
    """Draw `train` and `test` digits, classes balanced to within one image, in random order.

    The two parts come from different random streams. `quiet=False` shows progress on stderr.

    Raises:
        ConfigError: The seed or a count is not an integer from 0.
        DataError: matplotlib's fonts are missing.
    """
    for name, value in (("seed", seed), ("train", train), ("test", test)):
        if not isinstance(value, (int, np.integer)) or value < 0:
            raise ConfigError(f"{name}={value!r}: expected an integer that is 0 or more")
    glyphs = Glyphs(
        np.empty((train, SIDE, SIDE), np.uint8),
        np.empty(train, np.uint8),
        np.empty((test, SIDE, SIDE), np.uint8),
        np.empty(test, np.uint8),
    )
    fields, basis = _fields(), _basis()

    def draw(chunk):
        part, start = chunk
        images, labels = (array[start : start + CHUNK] for array in glyphs[2 * part : 2 * part + 2])
        _draw(np.random.default_rng([seed, part, start // CHUNK]), fields, basis, images, labels)
        return len(labels)

    chunks = [(part, at) for part, rows in enumerate((train, test)) for at in range(0, rows, CHUNK)]
    # numpy lets go of the interpreter inside its loops; beyond a few threads they wait for it.
    workers = min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(workers) as pool, _progress(train + test, quiet) as advance:
        for rows in pool.map(draw, chunks):
            advance(rows)
    return glyphs


def load(seed=0, cache_dir=None, quiet=False):
    """The 60,000 training and 10,000 test digits of `seed`, drawn once and then read from a file.

    The file is in `cache_dir`, else $TFAE_CACHE_DIR, else tfae/ under $XDG_CACHE_HOME or ~/.cache.
    One that is damaged is drawn again, and a folder that cannot be written is no obstacle: both are
    told in a line on stderr unless `quiet`. Raises what `generate` raises.
    """
    path = cache.cache_dir(cache_dir) / f"glyphs-v{VERSION}-seed{seed}.npz"
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # damage can surface anywhere in zipfile or numpy
        _note(
            f"{path}: not a usable cache ({type(error).__name__}); drawing the digits again", quiet
        )
    glyphs = generate(seed, quiet=quiet)
    try:
        _write(path, glyphs)
    except OSError as error:
        _note(f"the digits are not kept for the next run: {error}", quiet)
    return glyphs


def _read(path):
    # An npz is a zip, and reading a member to its end checks the CRC-32 stored with it.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        glyphs = Glyphs(*(arrays[name] for name in Glyphs._fields))
    want = [(60_000, SIDE, SIDE), (60_000,), (10_000, SIDE, SIDE), (10_000,)]
    if [a.shape for a in glyphs] != want or any(a.dtype != np.uint8 for a in glyphs):
        raise ValueError("other shapes or types than expected")
    return glyphs


def _write(path, glyphs):
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, then a rename: processes that start together never see half a file.
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(partial, "xb") as file:
            np.savez(file, **glyphs._asdict())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(total, quiet):
    """Gives a function to call with the number of images just drawn."""
    if not quiet and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("drawing digits", total=total)
            yield lambda rows: bar.advance(task, rows)
    else:
        _note(f"drawing {total:,} digits, which takes some seconds", quiet)
        yield lambda rows: None


def _note(line, quiet):
    if not quiet:
        print(line, file=sys.stderr)


def _draw(rng, fields, basis, images, labels):
    """Fill `images` [B, 28, 28] and `labels` [B] from one random stream."""
    n = len(labels)
    labels[:] = rng.permutation(np.arange(n) % 10)
    face = rng.integers(fields.shape[0] // 10, size=n)
    which = face * 10 + labels  # [B]

    angle = rng.normal(0, 0.12, n).clip(-0.35, 0.35)
    slant = rng.normal(0, 0.15, n).clip(-0.4, 0.4)
    high = rng.uniform(0.82, 1.0, n)
    wide = high * rng.uniform(0.8, 1.12, n)
    shift = rng.normal(0, 0.6, (2, n)).clip(-1.5, 1.5)
    elastic = rng.normal(0, 1.6, (n, 2, basis.shape[0] - 3)) * _wave_decay()

    # From a pixel back to the field: undo the shift, the rotation, the slant and the scale.
    cos, sin = np.cos(angle), np.sin(angle)
    x = np.stack([cos - slant * sin, sin + slant * cos]) / wide
    y = np.stack([-sin, cos]) / high
    affine = np.stack([x, y]) * CELLS  # [2 field axes, 2 image axes, B]
    middle = (GRID - 1) / 2 - (affine * shift).sum(axis=1)  # [2, B]
    affine = np.concatenate([affine, middle[:, None]], axis=1).transpose(2, 0, 1)  # [B, 2, 3]
    maps = np.concatenate([_binary(affine, 12), _binary(elastic, 8)], axis=2)
    # A product an image, each exact in float32, is too small for BLAS to start threads of its own.
    places = (maps.astype(np.float32) @ basis).clip(0, GRID - 1.001)  # [B, 2, 784]

    distance = _bilinear(fields, which, places[:, 0], places[:, 1])  # [B, 784] cells, > 0 is ink

    # Stroke: the widest half-stroke of the glyph is moved towards a random one, in pixels.
    half = fields.max(axis=(1, 2))[which] * high / CELLS
    grow = (rng.uniform(1.0, 2.3, n) - half).clip(-0.2 * half, 1.1)
    edge = rng.uniform(1.0, 1.7, n)  # pixels from black to full ink
    slope = _binary(255 * high / (CELLS * edge), 8).astype(np.float32)[:, None]
    level = _binary(255 * (grow / edge + 0.5), 4).astype(np.float32)[:, None]
    distance *= slope
    distance += level + np.float32(0.5)
    images[:] = distance.clip(0, 255).astype(np.uint8).reshape(images.shape)


def _bilinear(fields, which, x, y):
    """Read field `which[b]` at the points `x[b]`, `y[b]`, all [B, P] float32 within the grid."""
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = x - left, y - top
    top *= GRID
    top += left
    top += (which * GRID * GRID).astype(np.int32)[:, None]
    flat = fields.reshape(-1)

    def row(start):
        first, second = flat.take(start), flat.take(start + 1)
        second -= first
        second *= x
        second += first
        return second

    upper, lower = row(top), row(top + GRID)
    lower -= upper
    lower *= y
    lower += upper
    return lower


def _binary(values, bits):
    return np.rint(values * 2**bits) / 2**bits


@lru_cache(maxsize=1)
def _basis():
    """What a map of the plane is a sum of, by pixel: x, y, 1 and the cosines; [3 + K, 784]."""
    pixel = np.arange(SIDE) - (SIDE - 1) / 2
    waves = np.cos(np.pi * np.outer(np.arange(WAVES), np.arange(SIDE) + 0.5) / SIDE)  # [WAVES, 28]
    x, y = np.broadcast_to(pixel, (SIDE, SIDE)), np.broadcast_to(pixel[:, None], (SIDE, SIDE))
    cosines = [np.outer(v, u) for j, v in enumerate(waves) for i, u in enumerate(waves) if i + j]
    rows = np.stack([x, y, np.ones((SIDE, SIDE)), *cosines]).reshape(-1, SIDE * SIDE)
    return _binary(rows, 8).astype(np.float32)


def _wave_decay():
    j, i = np.divmod(np.arange(1, WAVES * WAVES), WAVES)
    return 1 / (1 + i * i + j * j)


@lru_cache(maxsize=1)
def _fields():
    """Signed distances to the outlines, in cells, positive inside; [faces * 10, 64, 64] float32."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    files = [file for face in FACES if (file := folder / f"{face}.ttf").is_file()]
    if not files:
        raise DataError(f"{folder} holds none of matplotlib's own fonts; reinstall matplotlib")
    fields = []
    for file in files:
        font = FontProperties(fname=str(file))
        for digit in "0123456789":
            path = TextPath(
                (0, 0), digit, size=50, prop=font
            )  # its size sets how fine curves are cut
            fields.append(_field(path.to_polygons()))
    return _binary(np.stack(fields), 8).astype(np.float32)


def _field(polygons):
    """The signed distance field [64, 64] of one glyph given as closed polygons, y upwards."""
    corners = np.concatenate(polygons)
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = CELLS * GLYPH / (high - low).max() * np.array([1, -1])
    starts = np.concatenate([p[:-1] for p in polygons]) - (low + high) / 2
    ends = np.concatenate([p[1:] for p in polygons]) - (low + high) / 2
    (ax, ay), (bx, by) = np.float32(scale * starts).T, np.float32(scale * ends).T  # [S], a to b

    cell = np.arange(GRID, dtype=np.float32) - np.float32((GRID - 1) / 2)
    x, y = np.tile(cell, GRID)[:, None], np.repeat(cell, GRID)[:, None]  # [4096, 1]
    dx, dy = bx - ax, by - ay
    px, py = x - ax, y - ay  # [4096, S]
    along = ((px * dx + py * dy) / np.maximum(dx * dx + dy * dy, 1e-12)).clip(0, 1)
    distance = np.sqrt(((px - along * dx) ** 2 + (py - along * dy) ** 2).min(axis=1))

    # Non-zero winding, the fill rule of fonts: crossings of the ray to the right, by direction.
    crosses = (ay <= y) != (by <= y)
    right = (px * dy - py * dx < 0) == (dy > 0)
    winding = np.where(crosses & right, np.sign(dy), 0).sum(axis=1)
    return np.where(winding != 0, distance, -distance).reshape(GRID, GRID)
