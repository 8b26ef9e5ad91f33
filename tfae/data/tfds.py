"""TensorFlow Datasets: copies prepared on disk, the network, downloads."""

import contextlib
import difflib
import os
import re
import threading
import urllib.request
from http.client import HTTPException
from operator import itemgetter
from pathlib import Path
from textwrap import shorten
from urllib.parse import urlsplit

import numpy as np

from tfae.errors import DataError

# Without a network TFDS itself retries for minutes; whether this file can be had is known sooner.
PROBE_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz"
PROBE_LIMIT_S = 3.0
BATCH_ROWS = 1024


def load(name, data_dir=None, quiet=False):
    """The rows of `--dataset tfds:NAME`, from a prepared copy or else by a download.

    Copies are looked for in data_dir, $TFAE_DATA_DIR and TFDS' own folder; a download goes to
    data_dir or else to TFDS' own folder.

    Args:
        name: NAME, NAME/CONFIG, either with or without :VERSION.
        data_dir: A folder or None.
        quiet: Whether a download shows no progress.

    Returns:
        The arrays by part, as of `read`, and the Path of the copy.

    Raises:
        DataError: The name is unknown, there is neither a copy nor a network, or the data set is
            not one of fixed-size images or numbers.
    """
    given = [folder for folder in (data_dir, os.environ.get("TFAE_DATA_DIR")) if folder]
    for folder in [*given, home()]:
        if copy := prepared(folder, name):
            return read(copy), copy
    _refuse_unknown(name)
    if not reachable():
        raise DataError(
            f"--dataset tfds:{name}: there is no prepared copy in "
            f"{', '.join(map(str, [*given, home()]))}, and {host()} cannot be reached; "
            "prepare it on a machine with a network and give its folder as --data-dir"
        )
    copy = download(name, data_dir or home(), quiet)
    return read(copy), copy


def home():
    """TFDS' own folder, $TFDS_DATA_DIR or ~/tensorflow_datasets, without importing TFDS."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared(folder, name):
    """The Path of the copy of that data set that TFDS has prepared in the folder, or None.

    Looks at the file system only, for NAME[/CONFIG]/VERSION/dataset_info.json, and takes the
    newest version where the name has none.
    """
    name, _, version = name.partition(":")
    found = (Path(folder).expanduser() / name).glob(f"{version or '*'}/dataset_info.json")
    versions = {
        tuple(map(int, info.parent.name.split("."))): info.parent
        for info in found
        if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name)
    }
    return versions[max(versions)] if versions else None


def host():
    """The host that `reachable` asks for, to name in messages."""
    return urlsplit(PROBE_URL).hostname


def reachable(url=None, limit_s=PROBE_LIMIT_S):
    """Whether the URL (PROBE_URL) answers within limit_s seconds, name resolution included."""
    answers = []

    def ask():
        try:
            request = urllib.request.Request(url or PROBE_URL, method="HEAD")
            with urllib.request.urlopen(request, timeout=limit_s):
                answers.append(True)
        except (OSError, HTTPException, ValueError):
            pass

    # A thread, because looking up a name has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(limit_s)
    return bool(answers)


def download(name, folder, quiet=False):
    """Lets TFDS download and prepare a data set in the folder; returns the copy's Path.

    Raises:
        DataError: It failed.
    """
    import tensorflow_datasets as tfds

    tfds.display_progress_bar(not quiet)
    try:
        with contextlib.ExitStack() as stack:
            if quiet:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            builder = tfds.builder(name, data_dir=Path(folder).expanduser())
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except Exception as problem:  # each data set has its own code, which raises what it likes
        raise DataError(
            f"TFDS could not download {name} into {folder} ({shorten(str(problem), 200)}); try "
            "again, or prepare it elsewhere and give its folder as --data-dir"
        ) from problem
    return Path(builder.data_dir)


def read(copy):
    """The rows of a prepared copy, without a network.

    Args:
        copy: The Path of its folder, NAME[/CONFIG]/VERSION.

    Returns:
        A dict with the array "train" and, where the data set has one, "validation" or else "test":
        [N, height, width, channels] of an image feature, or [N, ...] of a numeric feature, or
        [N, D] of D scalar features in the order of their names; labels are left out.

    Raises:
        DataError: The copy is damaged, or has no train split or no such feature.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(copy)
        names = _feature_names(builder, copy)
        sizes = {split: builder.info.splits[split].num_examples for split in builder.info.splits}
        if not sizes.get("train"):
            raise DataError(
                f"{copy}: has no rows in a split named train (its splits: "
                f"{', '.join(sizes) or 'none'}); give another data set"
            )
        parts = ["train", *[part for part in ("validation", "test") if sizes.get(part)][:1]]
        return {part: _rows(builder, part, names, sizes[part]) for part in parts}
    except (DataError, MemoryError):
        raise
    except Exception as problem:  # of TFDS, TensorFlow, protobuf and the file system
        raise DataError(
            f"{copy}: this TFDS copy cannot be read ({shorten(str(problem), 200)}); delete it and "
            "prepare it again"
        ) from problem


def _rows(builder, split, names, count):
    import tensorflow_datasets as tfds

    read_config = tfds.ReadConfig(try_autocache=False)  # every row is read once
    dataset = builder.as_dataset(split=split, read_config=read_config)
    batches = dataset.map(itemgetter(*names)).batch(BATCH_ROWS).as_numpy_iterator()
    rows = None
    # As many batches as there are: TensorFlow logs a warning where one more is asked for.
    for start in range(0, count, BATCH_ROWS):
        batch = next(batches)
        values = batch if len(names) == 1 else np.stack(batch, axis=1)
        if rows is None:
            rows = np.empty((count, *values.shape[1:]), values.dtype)
        rows[start : start + len(values)] = values
    return rows


def _feature_names(builder, copy):
    """The image feature, or the numeric feature, or all scalar features that are no labels."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features) if hasattr(builder.info.features, "items") else {}
    keys = builder.info.supervised_keys or ()
    # The input before all others, then by name: a copy gives its features in any order.
    order = sorted(features, key=lambda name: (name not in keys[:1], name))
    images = [n for n in order if type(features[n]) is tfds.features.Image]
    if images:
        shape = features[images[0]].shape
        if None in shape:
            raise DataError(
                f"{copy}: the images of feature {images[0]!r} differ in size (shape {shape}); "
                "give a data set with images of one fixed size"
            )
        return images[:1]
    numeric = [
        name
        for name in order
        if isinstance(features[name], tfds.features.Tensor)
        and not isinstance(features[name], tfds.features.ClassLabel)
        and name not in keys[1:]
        and None not in features[name].shape
        and np.dtype(features[name].np_dtype).kind in "buif"
    ]
    arrays = [name for name in numeric if features[name].shape]
    if arrays or numeric:
        return arrays[:1] or numeric
    raise DataError(
        f"{copy}: none of its features ({', '.join(features)}) is an image of fixed size or "
        "numbers; give another data set"
    )


def _refuse_unknown(name):
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    plain = re.split("[/:]", name)[0]
    if plain not in known:
        near = ", ".join(difflib.get_close_matches(plain, known)) or "mnist, fashion_mnist, cifar10"
        raise DataError(
            f"--dataset tfds:{name}: TFDS {tfds.__version__} has no data set of this name; names "
            f"like it: {near}; all are listed at https://www.tensorflow.org/datasets/catalog"
        )
