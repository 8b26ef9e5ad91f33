"""The work directory: what a run leaves, each file written whole or not at all."""

import json
import re
import shlex
import time
from pathlib import Path

from tfae.config import TrainConfig
from tfae.errors import ConfigError, DataError
from tfae.host.files import remove, write_text

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


PARTIAL = re.compile(r"\..*\.partial(\.\w+)?")


class WorkDir:
    """Paths and files of one run.

    Args:
        path: The directory; it is made by `create`, not here.
    """

    def __init__(self, path):
        self.path = Path(path).expanduser()
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
        """Make the directory with the configuration in it, rid of an earlier run's files."""
        self.check_free(overwrite)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in CONTENTS:
                remove(self.path / name)
            write_text(self._config, config.to_json())
        except OSError as error:
            raise DataError(
                f"--workdir {self.path} cannot be written: {error.strerror or error}"
            ) from None

    @property
    def has_run(self):
        """Whether a run was started there."""
        return self._config.exists()

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
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            raise ConfigError(f"{self._config} cannot be used: {error}") from None

    def write_config(self, config):
        """Replace config.json, as a resumed run with more epochs does."""
        write_text(self._config, config.to_json())

    def read_run(self):
        """run.json as a dictionary; empty where there is none yet."""
        try:
            facts = json.loads(self._run.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def write_run(self, facts):
        """Write run.json."""
        write_text(self._run, json.dumps(facts, indent=2) + "\n")

    def read_history(self):
        """The records of history.jsonl, one an epoch."""
        try:
            lines = self._history.read_text().splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:  # a line that was being written when the run was killed
                break
        return records

    def write_history(self, records):
        """Replace history.jsonl by these records."""
        write_text(self._history, "".join(json.dumps(record) + "\n" for record in records))

    def append_history(self, record):
        """Add one epoch's record to history.jsonl."""
        with self._history.open("a") as file:
            file.write(json.dumps(record) + "\n")
