"""The work directory: what a run leaves, each file written whole or not at all, by one run."""

import re
import shlex
import time
from pathlib import Path

from tfae.config import TrainConfig
from tfae.errors import ConfigError, DataError, TrainingError
from tfae.host.files import flush, remove, write_text, writing
from tfae.host.locks import DirectoryLock, Taken
from tfae.runs import records

# All that a run writes; --overwrite removes these and nothing else.
CONTENTS = (
    "config.json",
    "history.jsonl",
    "checkpoints",
    "tensorboard",
    "model.keras",
    "examples.npz",
    "loss.png",
    "reconstructions.png",
    "report.html",
    "run.json",
)


# What a killed write leaves beside them.
_STEMS = "|".join(sorted({re.escape(name.split(".")[0]) for name in CONTENTS}))
PARTIAL = re.compile(rf"\.(({_STEMS})\.\d+|epoch-\d+)\.partial(\.\w+)?")


class WorkDir:
    """Paths and files of one run.

    Whoever writes there does so in a `with` block, which holds off other runs: from its beginning
    where the directory is there, else from `create` on.

    Args:
        path: The directory; it is made by `create`, not here.
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
        self._lock = DirectoryLock(self.path)
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.model = self.path / "model.keras"
        self.examples = self.path / "examples.npz"
        self.loss_plot = self.path / "loss.png"
        self.reconstructions_plot = self.path / "reconstructions.png"
        self.report = self.path / "report.html"
        self._config = self.path / "config.json"
        self._history = self.path / "history.jsonl"
        self._run = self.path / "run.json"

    def __enter__(self):
        self._hold()
        return self

    def __exit__(self, *_):
        self._lock.release()

    def _hold(self):
        try:
            self._lock.acquire()
        except Taken:
            raise TrainingError(
                f"a run is under way in {self.path}: wait for it, or stop it first"
            ) from None

    @classmethod
    def unused(cls, name):
        """A new `runs/NAME-TIME` in the current directory, numbered where that is taken."""
        plain = re.sub(r"[^\w.+-]+", "-", name)
        base = Path("runs") / f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
        path, number = base, 1
        while True:  # made at once: two runs may start in the same second
            try:
                path.mkdir(parents=True)
                return cls(path)
            except FileExistsError:
                number += 1
                path = base.with_name(f"{base.name}-{number}")

    def check_free(self, overwrite):
        """Refuse a directory that holds something already.

        Raises:
            ConfigError: The path is a file, or a directory with a run in it and no `overwrite`, or
                with anything else in it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"--workdir {self.path} is a file; name a directory")
        present = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        # What a killed write leaves is the run's own, too.
        present = {name for name in present if not PARTIAL.fullmatch(name)}
        foreign = sorted(present - set(CONTENTS))
        if present and "config.json" not in present:
            raise ConfigError(
                f"--workdir {self.path} is not empty and holds no run ({min(present)} lies "
                "there); name a new directory"
            )
        if overwrite and foreign:
            raise ConfigError(
                f"--workdir {self.path} holds {foreign[0]}, which no run wrote; move it away first"
            )
        if present and not overwrite:
            raise ConfigError(
                f"--workdir {self.path} holds a run already: --resume goes on with it, --overwrite "
                "replaces it, or name another directory"
            )

    def create(self, config, overwrite=False):
        """Make the directory with the configuration in it, rid of an earlier run's files.

        Raises:
            ConfigError: As `check_free`.
            TrainingError: Another run is under way there.
            DataError: It cannot be written.
        """
        self.check_free(overwrite)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._hold()
            self.check_free(overwrite)  # another run may have come and gone before it was held
            self.remove_partials()
            for name in reversed(CONTENTS):  # config.json last: until then it holds a run
                remove(self.path / name)
            write_text(self._config, config.to_json())
        except OSError as error:
            raise DataError(
                f"--workdir {self.path} cannot be written ({error.strerror or error}): see that "
                "it can be, or name another directory"
            ) from None

    def remove_partials(self):
        """Remove what a killed run had not finished writing."""
        for directory in (self.path, self.checkpoints):
            for path in directory.iterdir() if directory.is_dir() else ():
                if PARTIAL.fullmatch(path.name):
                    remove(path)

    @property
    def has_run(self):
        """Whether a run was started there."""
        return self._config.exists()

    @property
    def is_complete(self):
        """Whether the model is there, and what the plots and the page are made from."""
        return all(path.exists() for path in (self.model, self.examples, self._history))

    @property
    def resume_command(self):
        """The command that goes on with the run, as it can be typed."""
        return f"python -m tfae.train --resume --workdir {shlex.quote(str(self.path))}"

    def read_config(self):
        """The configuration that the run was started with.

        Raises:
            ConfigError: There is none, or it cannot be read.
        """
        try:
            return TrainConfig.from_json(self._config.read_text())
        except FileNotFoundError:
            raise ConfigError(
                f"--workdir {self.path} holds no run to resume (no config.json there); leave "
                "--resume out to start one"
            ) from None
        except (OSError, UnicodeDecodeError, RecursionError, ConfigError) as error:
            raise ConfigError(f"{self._config} cannot be used: {error}") from None

    def write_config(self, config):
        """Replace config.json, as a resumed run with more epochs does."""
        write_text(self._config, config.to_json())

    def read_run(self):
        """run.json as a dictionary; empty where there is none yet.

        Raises:
            DataError: It is damaged.
        """
        return records.read_run(self._run)

    def write_run(self, facts):
        """Write run.json."""
        records.write_run(self._run, facts)

    def read_history(self):
        """The records of history.jsonl, in the order of its lines.

        Raises:
            DataError: It may not be read.
        """
        return records.read_history(self._history)

    def write_history(self, history):
        """Replace history.jsonl by these records."""
        records.write_history(self._history, history)

    def append_history(self, record):
        """Add one epoch's record to history.jsonl."""
        records.append_history(self._history, record)

    def flush_history(self):
        """Have on the disk what was added to history.jsonl."""
        with writing(self._history):
            flush(self._history)
            flush(self.path)
