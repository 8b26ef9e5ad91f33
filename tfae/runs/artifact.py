"""A trained model on disk and back: a .keras file that needs no tfae to be used."""

from pathlib import Path
from textwrap import shorten

from tfae.errors import DataError
from tfae.host.files import DAMAGE, write_whole
from tfae.runs.workdir import WorkDir


def save(model, path):
    """Write an `Autoencoder` as a .keras file, whole or not at all."""
    write_whole(Path(path), model.to_keras().save)


def load(path):
    """The `Autoencoder` that a run left.

    Args:
        path: A work directory, or a .keras file that tfae wrote.

    Raises:
        DataError: There is no such file, the run is not finished, or the file holds no autoencoder
            of tfae's.
    """
    path, remedy = Path(path), ""
    if path.is_dir():
        workdir = WorkDir(path)
        path = workdir.model
        remedy = f"; remove it, and {workdir.resume_command} writes it again"
        if workdir.has_run and not path.exists():
            raise DataError(
                f"{workdir.path} holds no finished run: {workdir.resume_command} finishes it"
            )
    if not path.exists():
        raise DataError(f"{path} does not exist; give a work directory or a .keras file")

    from tfae.autoencoder import Autoencoder
    from tfae.keras_bridge import load_keras

    try:
        return Autoencoder.from_keras(load_keras(path))
    except DAMAGE as error:
        reason = shorten(str(error), 160) or type(error).__name__
        raise DataError(f"{path} is no model that tfae wrote: {reason}{remedy}") from None
