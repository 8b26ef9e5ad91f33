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
from tfae.errors import ConfigError, DataError
from tfae.host.environment import describe_environment, peak_memory_bytes
from tfae.runs import artifact, report
from tfae.runs.assess import EXAMPLES, assess
from tfae.training.callbacks import (
    EarlyStopping,
    History,
    LossGuard,
    SaveCheckpoints,
    StopOnSignal,
    TensorBoard,
)
from tfae.training.checkpoint import Checkpoints
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
        first, earlier_s = self._resume(workdir, checkpoints) if resume else (0, 0.0)
        history = History(workdir, workdir.read_history()[:first])
        workdir.write_history(history.records)
        signals = StopOnSignal()
        callbacks = self._callbacks(workdir, history, signals, checkpoints, quiet)
        workdir.write_run({**self.facts, "train_s": earlier_s})

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
            trainer.train(after=first, unvalidated=self._unvalidated(history.records))
        except Exception as error:
            with contextlib.suppress(OSError):  # what stopped the run may stop this too
                workdir.write_run({**self.facts, "status": "failed", "stop_reason": str(error)})
            raise
        interrupted = bool(signals.received) and trainer.epoch < self.config.epochs
        later = history.records[first + trainer.epochs_a_call :] or history.records
        self.facts.update(
            status="interrupted" if interrupted else "trained",
            epochs=trainer.epoch,
            stop_reason=trainer.stop_reason,
            skipped_steps=self.engine.state.skipped_steps,
            train_s=earlier_s + time.perf_counter() - begin,
            # The first call of a process compiles, which is no part of the rate.
            epoch_s=statistics.median(record["epoch_s"] for record in later),
            rows_per_s=statistics.median(record["rows_per_s"] for record in later),
        )
        workdir.write_run(self.facts)
        return not interrupted

    def finish(self, workdir):
        """Write what a trained run leaves: the model, its assessment, the plots and the page."""
        records = workdir.read_history()
        final = records[-1]
        if self.early_stopping:
            self.early_stopping.restore_best()
            final = records[int(self.early_stopping.best_epoch) - 1]
        artifact.save(self.model, workdir.model)
        assessment = assess(self.model, self.feed.rows, self.validation, self._validation_index)
        report.save_examples(workdir, assessment, self.image_shape)
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
        callbacks.append(SaveCheckpoints(checkpoints, config.checkpoint_every))
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
        """Restore the last checkpoint: its epoch, and how long the run had trained until then."""
        earlier = workdir.read_run()
        dataset = earlier.get("dataset")
        if dataset and dataset["sha256"] != self.facts["dataset"]["sha256"]:
            raise DataError(
                f"the rows are not those that the run in {workdir.path} was started on "
                f"({dataset['origin']}): give the same --dataset and --data-dir, or start another"
            )
        first = checkpoints.restore_last()
        if first > self.config.epochs:
            raise ConfigError(
                f"--epochs {self.config.epochs} is fewer than the {first} that the run has: give "
                "more, or leave it out"
            )
        if len(workdir.read_history()) < first:
            raise DataError(
                f"{workdir.path} has lost lines of history.jsonl, which should have {first} "
                "epochs: start again with --overwrite"
            )
        workdir.write_config(self.config)
        notes = self.facts["warnings"]  # which the first part of the run had as well
        self.facts["warnings"] = list(dict.fromkeys([*earlier.get("warnings", []), *notes]))
        if earlier and not first:
            self._warn("the run had no checkpoint yet, and begins again")
        before, now = (
            {key: value for key, value in facts.get("engine", {}).items() if key != "reason"}
            for facts in (earlier, self.facts)
        )
        if before and before != now:
            self._warn(
                f"the run began with {_listed(before)} and goes on with {_listed(now)}: it will "
                "not end to the bit where it would have ended"
            )
        epochs_s = sum(record["epoch_s"] for record in workdir.read_history()[:first])
        return first, max(earlier.get("train_s", 0.0), epochs_s)  # a killed run told no time


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
