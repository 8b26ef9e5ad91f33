"""What happens between two epochs: progress, history, stopping, checkpoints, TensorBoard."""

import contextlib
import math
import os
import signal
import socket
import threading

import tensorflow as tf

from tfae.errors import TrainingError
from tfae.host.files import writing

LN2 = math.log(2.0)


class Callback:
    """Told by the `Trainer` before, between and after the epochs; each method may be left out.

    An epoch's record has `epoch` (from 1), `loss`, `val_loss`, which is None where the epoch had no
    validation, `epoch_s` and `rows_per_s`; all are None but the epoch where a resumed run has lost
    its record. The weights are those of `trainer.epoch`: where one call trains several epochs, of
    the last one, whose record comes last.
    """

    def train_begin(self, trainer):
        """Before the first epoch."""

    def epoch_end(self, trainer, record):
        """After an epoch, and its validation if it has one."""

    def train_end(self, trainer):
        """After the last epoch, also where an error ended the run."""


class CallbackList(Callback):
    """Several callbacks as one, told in their order."""

    def __init__(self, callbacks):
        self._callbacks = list(callbacks)

    def train_begin(self, trainer):
        """Tell each."""
        for callback in self._callbacks:
            callback.train_begin(trainer)

    def epoch_end(self, trainer, record):
        """Tell each."""
        for callback in self._callbacks:
            callback.epoch_end(trainer, record)

    def train_end(self, trainer):
        """Tell each, even if one before it raises."""
        with contextlib.ExitStack() as stack:
            for callback in reversed(self._callbacks):
                stack.callback(callback.train_end, trainer)


class LossGuard(Callback):
    """Ends a run whose loss is not finite, and warns of one that does not learn.

    Args:
        loss: The loss's name.
        optimizer: The optimizer's name.
        learning_rate: For the advice.
        of_bytes: Whether the rows are bytes; others may well lie around 1/2.
        warn: Called with the warning's line.
    """

    STEPS_TO_LEARN = 400  # a model that learns has left ln 2 well before
    NEAR = 0.02  # of ln 2, relative; rows around 1/2 may rightly end 5 % below it

    def __init__(self, loss, optimizer, learning_rate, of_bytes, warn):
        self._cross_entropy = loss == "binary_crossentropy"
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._of_bytes = of_bytes
        self._warn = warn
        self._warned = False

    def epoch_end(self, trainer, record):
        """Look at the losses."""
        for name in ("loss", "val_loss"):
            if record[name] is not None and not math.isfinite(record[name]):
                raise TrainingError(
                    f"{name} is {record[name]} in epoch {record['epoch']}: start again with a "
                    f"lower --learning-rate (now {self._learning_rate:g}), or with --clip-norm 1; "
                    "--overwrite takes the work directory of this run again"
                )
        if record["val_loss"] is None:
            return
        last = record["epoch"] == trainer.epochs
        steps = int(trainer.engine.state.step)
        late = last or steps >= self.STEPS_TO_LEARN
        near_ln2 = abs(record["val_loss"] - LN2) < self.NEAR * LN2
        if self._cross_entropy and near_ln2 and late and not self._warned:
            self._warned = True
            self._warn(
                f"the loss is {record['val_loss']:.4f} after epoch {record['epoch']}, near ln 2 = "
                "0.6931, which is what a model that has learnt nothing gets; "
                f"{'' if self._of_bytes else 'if the values lie around 1/2, a good one, too; '}"
                f"{self._advice(steps)}"
            )

    def _advice(self, steps):
        if self._optimizer == "adadelta" and self._learning_rate < 0.1:
            return f"Adadelta wants --learning-rate 1.0, not {self._learning_rate:g}"
        advice = f"train for more --epochs, or raise --learning-rate (now {self._learning_rate:g})"
        if not self._of_bytes:
            advice += ", or take --output-activation linear --loss mse"
        if steps < self.STEPS_TO_LEARN:
            made = f"{steps} steps were" if steps > 1 else "1 step was"
            return f"only {made} made: give a smaller --batch-size, {advice}"
        return advice


class History(Callback):
    """Keeps the records, and writes each to the work directory's history.jsonl.

    Args:
        workdir: The `WorkDir`.
        records: Those of the epochs before a resume.
    """

    def __init__(self, workdir, records=()):
        self.records = list(records)
        self._workdir = workdir

    def epoch_end(self, trainer, record):
        """Keep the record, in place of an earlier one of the same epoch."""
        if self.records and self.records[-1]["epoch"] == record["epoch"]:
            self.records[-1] = record
            self._workdir.write_history(self.records)
        else:
            self.records.append(record)
            self._workdir.append_history(record)

    def flush(self):
        """Have the records on the disk, as a checkpoint of their epochs will be."""
        self._workdir.flush_history()


class EarlyStopping(tf.Module, Callback):
    """Ends the run after `patience` epochs without a better validation loss.

    Its variables belong into the checkpoint, so that a resumed run stops where the whole one would.

    Args:
        state: The `TrainState`, whose parameters of the best epoch are kept.
        patience: Epochs.
    """

    def __init__(self, state, patience):
        super().__init__(name="early_stopping")
        self._patience = patience
        self._read = lambda: state.params  # not an attribute: it would be checkpointed twice
        self.best_params = [tf.Variable(param) for param in state.params]
        self.best_loss = tf.Variable(math.inf, dtype=tf.float64)
        self.best_epoch = tf.Variable(0, dtype=tf.int64)

    def train_begin(self, trainer):
        """A resumed run may have been stopped after its last epoch already."""
        self._stop_if_due(trainer)

    def epoch_end(self, trainer, record):
        """Keep the weights of a better epoch, or end the run."""
        if record["val_loss"] is None:
            return
        if record["val_loss"] < float(self.best_loss):
            self.best_loss.assign(record["val_loss"])
            self.best_epoch.assign(record["epoch"])
            for best, param in zip(self.best_params, self._read(), strict=True):
                best.assign(param)
        self._stop_if_due(trainer)

    def _stop_if_due(self, trainer):
        best = int(self.best_epoch)
        validated = trainer.epoch // trainer.validate_every * trainer.validate_every
        if best and validated - best >= self._patience:
            trainer.stop(
                f"no better validation loss for {self._patience} epochs since epoch {best}"
            )

    def restore_best(self):
        """Put the best epoch's weights into the model."""
        if int(self.best_epoch):
            for best, param in zip(self.best_params, self._read(), strict=True):
                param.assign(best)


class SaveCheckpoints(Callback):
    """Writes a checkpoint every few epochs and after the last one.

    It comes behind the callbacks that may end the run, so that the last epoch is saved.

    Args:
        checkpoints: The `Checkpoints`.
        history: The `History`, whose records are on the disk before a checkpoint that needs them.
        every: Epochs between two.
    """

    def __init__(self, checkpoints, history, every):
        self._checkpoints = checkpoints
        self._history = history
        self._every = every

    def epoch_end(self, trainer, record):
        """Save where it is time."""
        epoch = record["epoch"]
        if epoch != trainer.epoch:
            return
        if epoch % self._every == 0 or epoch == trainer.epochs or trainer.stop_reason:
            self._history.flush()
            self._checkpoints.save(epoch)


class StopOnSignal(Callback):
    """Ends the run after the epoch in which Ctrl-C (or a polite kill) came; a second one at once.

    An epoch, or several, is one call into compiled code, in which no Python handler runs. A thread
    therefore hears the signals, through the file descriptor that the interpreter writes each to.

    Attributes:
        received: The first signal's number, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    EXIT_STATUS = 130

    def __init__(self):
        self.received = None

    def train_begin(self, trainer):
        """Take over the signals."""
        self._under_way = "this epoch" if trainer.epochs_a_call == 1 else "these epochs"
        ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._earlier_fd = signal.set_wakeup_fd(self._mouth.fileno())
        self._earlier = {number: signal.signal(number, _ignore) for number in self.SIGNALS}
        self._thread = threading.Thread(target=self._listen, args=(ear,), daemon=True)
        self._thread.start()

    def epoch_end(self, trainer, record):
        """End the run if a signal came, unless it ends here anyway."""
        if self.received and record["epoch"] == trainer.epoch < trainer.epochs:
            trainer.stop("interrupted")

    def train_end(self, trainer):
        """Give the signals back."""
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._earlier_fd)
        self._mouth.close()
        self._thread.join()

    def _listen(self, ear):
        with ear:
            while number := ear.recv(1):
                if number[0] not in self.SIGNALS:
                    continue
                if self.received:
                    # Checkpoints are written whole or not at all, so nothing is lost by this.
                    os.write(
                        2, b"stopped; --resume goes on from the last checkpoint, or begins again\n"
                    )
                    os._exit(self.EXIT_STATUS)
                self.received = number[0]
                line = f"stopping after {self._under_way}; once more to stop at once\n"
                os.write(2, line.encode())


def _ignore(number, frame):
    """The thread has heard it."""


class TensorBoard(Callback):
    """Writes scalars, and reconstructions of images, for TensorBoard.

    Args:
        directory: Where to.
        model: The `Autoencoder`.
        rows: [n, D] tensor, the images to rebuild.
        image_shape: Of a row, (h, w) or (h, w, c), or None for rows that are no images.
    """

    def __init__(self, directory, model, rows, image_shape):
        self._directory = directory
        with writing(directory):
            self._writer = tf.summary.create_file_writer(str(directory))
        self._model = model
        self._rows = rows
        self._image_shape = image_shape

    def epoch_end(self, trainer, record):
        """Write the epoch's numbers and pictures."""
        with writing(self._directory), self._writer.as_default(step=record["epoch"]):
            for name in ("loss", "val_loss", "rows_per_s"):
                if record[name] is not None:
                    tf.summary.scalar(name, record[name])
            if self._image_shape:
                shape = (-1, *self._image_shape, 1)[:4]
                images = tf.reshape(self._model.reconstruct(self._rows), shape)
                tf.summary.image("reconstructions", images, max_outputs=images.shape[0])

    def train_end(self, trainer):
        """Have it all on disk."""
        with writing(self._directory):
            self._writer.close()
