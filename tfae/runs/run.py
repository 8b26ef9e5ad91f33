"""One run: the parts that a configuration asks for, and the work directory they fill."""

import contextlib
import math
import statistics
import sys
import time

import tensorflow as tf

from tfae.autoencoder import Autoencoder
from tfae.data.feed import Feed
from tfae.engines import make_engine
from tfae.errors import ConfigError, DataError, TrainingError
from tfae.host.environment import describe_environment, peak_memory_bytes
from tfae.host.files import NotWritten
from tfae.runs import artifact, report
from tfae.runs.assess import EXAMPLES, assess
from tfae.runs.examples import save_examples
from tfae.runs.records import by_epoch, flaw_of_history
from tfae.training.callbacks import (
    EarlyStopping,
    History,
    LossGuard,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
)
from tfae.training.checkpoint import Checkpoints, saved_epochs
from tfae.training.progress import make_progress
from tfae.training.trainer import Trainer


class Run:
    """A model, the engine that trains it and the rows it is trained on.

    Args:
        config: The `TrainConfig`.
        source: The `Source` of rows; the run keeps its own copy of the training rows.
        stack: The `Stack` to train.
        scaling: The rows' `Scaling`.
        say: Called with a line where something takes long.

    Attributes:
        facts: What run.json says, filled as the run goes.
    """

    def __init__(self, config, source, stack, scaling, say):
        self.config = config
        self.model = Autoencoder(stack, scaling, config.seed, config.initial_bias)
        self.engine, reason = make_engine(config, self.model.network, source.train.shape[0], say)
        self.feed = Feed(source.train, config.seed, config.batch_size, config.block_rows)
        self.validation = tf.constant(source.validation)
        self._validation_index = source.validation_index
        self.image_shape = source.image_shape
        self.early_stopping = None
        trackables = {"state": self.engine.state}
        if config.patience:
            self.early_stopping = EarlyStopping(self.engine.state, config.patience)
            trackables["early_stopping"] = self.early_stopping
        self._trackables = trackables
        environment = describe_environment()
        self.facts = {
            "status": "running",
            "dataset": _dataset_facts(source),
            "engine": {"name": self.engine.name, "reason": reason, **self.engine.facts},
            "device": environment["device"],
            "precision": config.precision,
            "seed": config.seed,
            "layers": str(stack),
            "parameters": stack.parameter_count,
            "scaling": "bytes / 255" if source.train.dtype == "uint8" else scaling.kind,
            "environment": environment,
            "warnings": [*source.notes],
            "train_s": 0.0,
        }

    def train(self, workdir, *, resume=False, overwrite=False, quiet=False):
        """Train into the work directory, from its last checkpoint where `resume` says so.

        Returns:
            True where the run is done, False where a signal interrupted it.

        Raises:
            DataError: The run to resume was started on other rows, or cannot be read.
            ConfigError: The run has more epochs behind it than are asked for.
            TrainingError: The run cannot go on; run.json says why.
        """
        if not resume:
            workdir.create(self.config, overwrite)
            self._warn_of_wide_code()
        checkpoints = Checkpoints(workdir.checkpoints, **self._trackables)
        with _resumable(workdir):
            first, records = self._resume(workdir, checkpoints) if resume else (0, [])
            return self._train_after(first, records, workdir, checkpoints, quiet)

    def _train_after(self, first, records, workdir, checkpoints, quiet):
        """Train the epochs that follow epoch `first`, of which there are these records."""
        workdir.write_history(records)
        history = History(workdir, records)
        signals = StopOnSignal()
        callbacks = self._callbacks(workdir, history, signals, checkpoints, quiet)
        workdir.write_run(self.facts)

        looked_at = [self.config.validate_every, self.config.checkpoint_every]
        trainer = Trainer(
            self.engine,
            self.feed,
            self.validation,
            self.config.epochs,
            callbacks,
            validate_every=self.config.validate_every,
            epochs_a_call=1 if self.config.tensorboard else math.gcd(*looked_at),
        )
        begin = time.perf_counter()
        try:
            trainer.train(after=first, unvalidated=self._unvalidated(records))
        except Exception as error:
            with contextlib.suppress(OSError):  # what stopped the run may stop this too
                workdir.write_run({**self.facts, "status": "failed", "stop_reason": str(error)})
            raise
        interrupted = bool(signals.received) and trainer.epoch < self.config.epochs
        # The first call of a process compiles, which is no part of the rate.
        later = history.records[first + trainer.epochs_a_call :] or history.records
        self.facts.update(
            status="interrupted" if interrupted else "trained",
            epochs=trainer.epoch,
            stop_reason=trainer.stop_reason,
            skipped_steps=self.engine.state.skipped_steps,
            train_s=self.facts["train_s"] + time.perf_counter() - begin,
            epoch_s=_median(later, "epoch_s"),
            rows_per_s=_median(later, "rows_per_s"),
        )
        workdir.write_run(self.facts)
        return not interrupted

    def finish(self, workdir):
        """Write what a trained run leaves: the model, its assessment, the plots and the page.

        Raises:
            TrainingError: A file cannot be written.
        """
        with _resumable(workdir):
            self._finish(workdir)

    def _finish(self, workdir):
        records = by_epoch(workdir.read_history(), self.facts["epochs"])
        final = records[-1]
        if self.early_stopping:
            self.early_stopping.restore_best()
            # Its record may be lost, and the loss is remembered.
            final = records[int(self.early_stopping.best_epoch) - 1]
            final = {**final, "val_loss": float(self.early_stopping.best_loss)}
        artifact.save(self.model, workdir.model)
        assessment = assess(self.model, self.feed.rows, self.validation, self._validation_index)
        save_examples(workdir.examples, assessment, self.image_shape)
        self.facts["final"] = {
            **{name: final[name] for name in ("epoch", "loss", "val_loss")},
            "mse": assessment.mse,
            "pca_mse": assessment.pca_mse,
        }
        self.facts["peak_memory_gb"] = peak_memory_bytes() / 1e9
        workdir.write_run(self.facts)
        report.write_report(workdir)
        self.facts["status"] = "done"
        workdir.write_run(self.facts)

    def _unvalidated(self, records):
        """The last record, where the run is to end there and it has no validation yet."""
        ends = len(records) == self.config.epochs
        return records[-1] if ends and records[-1]["val_loss"] is None else None

    def _callbacks(self, workdir, history, signals, checkpoints, quiet):
        """In the order in which they are told: what may end the run stands before what saves it."""
        config = self.config
        of_bytes = self.feed.rows.dtype == "uint8"
        guard = LossGuard(config.loss, config.optimizer, config.learning_rate, of_bytes, self._warn)
        callbacks = [guard, history, signals]
        if self.early_stopping:
            callbacks.append(self.early_stopping)
        if config.tensorboard:
            shown = self.validation[:EXAMPLES]
            callbacks.append(TensorBoard(workdir.tensorboard, self.model, shown, self.image_shape))
        callbacks.append(SaveCheckpoints(checkpoints, history, config.checkpoint_every))
        return callbacks + make_progress(quiet)

    def _warn_of_wide_code(self):
        stack = self.model.stack
        narrowest = min(stack.widths[1 : stack.code_layer + 1])
        if narrowest >= stack.features:
            self._warn(
                f"a code of {stack.code_size} has room for all {stack.features} features of a row: "
                "it compresses nothing; give --layers that end on fewer"
            )

    def _warn(self, line):
        self.facts["warnings"].append(line)
        print(f"warning: {line}", file=sys.stderr)

    def _resume(self, workdir, checkpoints):
        """Restore the last checkpoint that is whole: its epoch, and the records until then."""
        earlier, flaw = self._earlier(workdir)
        lines = workdir.read_history()
        first, damaged = checkpoints.restore_last()
        warnings = [f"{each}: went back to epoch {first}" for each in damaged]
        if first > self.config.epochs:
            raise ConfigError(
                f"--epochs {self.config.epochs} is fewer than the {first} that the run has: give "
                "more, or leave it out"
            )
        if not first:
            warnings.append("the run had no checkpoint yet, and begins again")
        elif flaw:
            warnings.append(
                f"{flaw}: whether the rows are those that the run was started on is not known"
            )
        if flaw := flaw_of_history(lines, first):
            warnings.append(
                f"{workdir.path}/history.jsonl {flaw}: it goes on in order, with null for what is "
                "lost"
            )
        before, now = (
            {key: value for key, value in facts.get("engine", {}).items() if key != "reason"}
            for facts in (earlier, self.facts)
        )
        if before and before != now:
            warnings.append(
                f"the run began with {_listed(before)} and goes on with {_listed(now)}: it will "
                "not end to the bit where it would have ended"
            )
        workdir.remove_partials()
        workdir.write_config(self.config)
        notes = self.facts["warnings"]  # which the first part of the run had as well
        self.facts["warnings"] = list(dict.fromkeys([*earlier.get("warnings", []), *notes]))
        for line in warnings:
            self._warn(line)
        records = by_epoch(lines, first)
        epochs_s = sum(record["epoch_s"] or 0.0 for record in records)
        self.facts["train_s"] = max(earlier.get("train_s", 0.0), epochs_s)  # a killed run told none
        return first, records

    def _earlier(self, workdir):
        """What run.json says of the run until now; {} where it cannot be used, and why not.

        Raises:
            DataError: It was trained on other rows.
        """
        try:
            earlier = workdir.read_run()
        except DataError as error:
            return {}, str(error)
        if not earlier:
            return {}, f"{workdir.path} has lost its run.json"
        dataset = earlier["dataset"]
        if dataset["sha256"] != self.facts["dataset"]["sha256"]:
            raise DataError(
                f"the rows are not those that the run in {workdir.path} was started on "
                f"({dataset['origin']}): give the same --dataset and --data-dir, or start another"
            )
        return earlier, ""


@contextlib.contextmanager
def _resumable(workdir):
    """Have an error of a file that cannot be written say how the run goes on after that."""
    try:
        yield
    except NotWritten as error:
        saved = saved_epochs(workdir.checkpoints)
        where = f"goes on from epoch {saved[-1]}" if saved else "begins again"
        raise TrainingError(f"{error}, and {workdir.resume_command} {where}") from None


def _median(records, name):
    """The median of what the records have under that name; None where none has it."""
    values = [record[name] for record in records if record[name] is not None]
    return statistics.median(values) if values else None


def _listed(facts):
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def _dataset_facts(source):
    return {
        "name": source.name,
        "title": source.title,
        "origin": source.origin,
        "reason": source.reason,
        "rows": source.train.shape[0],
        "validation_rows": source.validation.shape[0],
        "features": source.train.shape[1],
        "validation_from": source.validation_from,
        "sha256": source.sha256(),
    }
