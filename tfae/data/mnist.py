"""Where MNIST is found: given files, Keras' cache, a copy of TensorFlow Datasets, the network."""

import os
import re
from pathlib import Path

from tfae.data import idx, tables, tfds
from tfae.errors import DataError

IMAGES = re.compile(r"(train|t10k)-images[-.]idx3-ubyte(?:\.gz)?")
ANY_FILE = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")


def load(data_dir=None, required=True, quiet=False):
    """MNIST from the first place that has it.

    Looks for IDX files, mnist.npz and a TFDS copy in data_dir or $TFAE_DATA_DIR, then for Keras'
    cache, then for TFDS' own copy, and at last downloads it by TFDS. Labels are not read.

    Args:
        data_dir: A folder or None.
        required: Whether nothing but MNIST will do: then a data_dir without it is an error, and so
            is finding it nowhere.
        quiet: Whether a download shows no progress.

    Returns:
        The arrays by part ({"train", "test"}, [N, 28, 28] or [N, 28, 28, 1] uint8) or None where
        it was not found; where they came from, in one phrase; the list of what was missing before.

    Raises:
        DataError: A file is damaged, or a set of IDX files is not complete, or required.
    """
    missing = []
    folder = data_dir or os.environ.get("TFAE_DATA_DIR")
    if folder:
        option = f"{'--data-dir' if data_dir else 'TFAE_DATA_DIR'} {folder}"
        found = _in_folder(Path(folder).expanduser(), option)
        if found:
            return *found, missing
        missing.append(f"no IDX files, mnist.npz or TFDS copy in {option}")
        if data_dir and not Path(folder).expanduser().exists():
            raise DataError(f"{option}: does not exist; give the folder that holds MNIST's files")
    else:
        missing.append("no IDX files, as no --data-dir was given")
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    cache = keras_home / "datasets" / "mnist.npz"
    if cache.is_file():
        return tables.read(cache).arrays, f"Keras' cache {cache}", missing
    missing.append("no Keras cache")
    if copy := tfds.prepared(tfds.home(), "mnist"):
        return tfds.read(copy), f"TFDS copy in {copy}", missing
    missing.append("no TFDS copy")
    return _downloaded(data_dir or tfds.home(), required, quiet, missing)


def _in_folder(folder, option):
    """Loaded and origin of what a folder holds of MNIST, or None."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise DataError(f"{option}: is a file; give the folder that holds MNIST's files")
    files = idx.find_images(folder, IMAGES)
    if len(files) == 2:
        parts = {part: idx.read_images(path) for part, path in files.items()}
        return parts, f"IDX files in {folder}"
    some = sorted(path.name for path in folder.iterdir() if ANY_FILE.fullmatch(path.name))
    if some:
        needed = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
        lacking = " and ".join(name for part, name in needed.items() if part not in files)
        raise DataError(
            f"{option}: holds {', '.join(some)} but not {lacking} (or .gz); put all of MNIST's "
            "image files there"
        )
    if (folder / "mnist.npz").is_file():
        return tables.read(folder / "mnist.npz").arrays, str(folder / "mnist.npz")
    if copy := tfds.prepared(folder, "mnist"):
        return tfds.read(copy), f"TFDS copy in {copy}"
    return None


def _downloaded(folder, required, quiet, missing):
    failure = None
    if tfds.reachable():
        try:
            copy = tfds.download("mnist", folder, quiet)
            return tfds.read(copy), f"TFDS copy in {copy}", missing
        except DataError as problem:
            failure = str(problem)
    trouble = failure or f"{tfds.host()} cannot be reached"
    if required:
        raise DataError(
            f"--dataset mnist: MNIST was not found: {', '.join(missing)}, and {trouble}; download "
            "train-images-idx3-ubyte.gz and t10k-images-idx3-ubyte.gz into a folder and give it as "
            "--data-dir, or use --dataset glyphs"
        )
    return None, "", [*missing, trouble]
