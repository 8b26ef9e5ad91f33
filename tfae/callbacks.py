"""What happens between two epochs: progress, history, stopping, checkpoints, TensorBoard."""

import importlib.util
import math
import signal
import sys

import tensorflow as tf

from tfae.errors import TrainingError

LN2 = math.log(2.0)


class Callback:
    """Told by the `Trainer` before, between and after the epochs; each method may be left out.

    An epoch's record has `epoch` (from 1), `loss`, `val_loss`, `epoch_s` and `rows_per_s`.
    """

    def train_begin(self, trainer):
        """Before the first epoch."""

    def epoch_end(self, trainer, record):
        """After an epoch and its validation."""

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
        """Tell each."""
        for callback in self._callbacks:
            callback.train_end(trainer)


class LossGuard(Callback):
    """Ends a run whose loss is not finite, and warns of one that does not learn.

    Args:
        loss: The loss's name.
        optimizer: The optimizer's name.
        learning_rate: For the advice.
        warn: Called with the warning's line.
    """

    EPOCHS_TO_LEARN = 2
    NEAR = 0.05  # of ln 2, relative; MNIST is below half of ln 2 after one epoch that learns

    def __init__(self, loss, optimizer, learning_rate, warn):
        self._cross_entropy = loss == "binary_crossentropy"
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._warn = warn

    def epoch_end(self, trainer, record):
        """Look at the losses."""
        for name in ("loss", "val_loss"):
            if not math.isfinite(record[name]):
                raise TrainingError(
                    f"{name} is {record[name]} in epoch {record['epoch']}: lower --learning-rate "
                    f"(now {self._learning_rate:g}) or set --clip-norm 1; the last checkpoint "
                    "is from before"
                )
        near_ln2 = abs(record["val_loss"] - LN2) < self.NEAR * LN2
        if self._cross_entropy and near_ln2 and record["epoch"] == self.EPOCHS_TO_LEARN:
            advice = (
                "Adadelta wants --learning-rate 1.0"
                if self._optimizer == "adadelta" and self._learning_rate < 0.1
                else "raise --learning-rate"
            )
            self._warn(
                f"the loss is {record['val_loss']:.4f}, near ln 2 = 0.6931, which is what a "
                f"model that has learnt nothing gets. The learning rate is "
                f"{self._learning_rate:g}; {advice}."
            )


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
        """Keep the record."""
        self.records.append(record)
        self._workdir.append_history(record)


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

    def epoch_end(self, trainer, record):
        """Keep the weights of a better epoch, or end the run."""
        if record["val_loss"] < float(self.best_loss):
            self.best_loss.assign(record["val_loss"])
            self.best_epoch.assign(record["epoch"])
            for best, param in zip(self.best_params, self._read(), strict=True):
                best.assign(param)
        elif record["epoch"] - int(self.best_epoch) >= self._patience:
            trainer.stop(
                f"no better validation loss for {self._patience} epochs since epoch "
                f"{int(self.best_epoch)}"
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
        every: Epochs between two.
    """

    def __init__(self, checkpoints, every):
        self._checkpoints = checkpoints
        self._every = every

    def epoch_end(self, trainer, record):
        """Save where it is time."""
        epoch = record["epoch"]
        if epoch % self._every == 0 or epoch == trainer.epochs or trainer.stop_reason:
            self._checkpoints.save(epoch)


class StopOnSignal(Callback):
    """Ends the run after the epoch in which Ctrl-C (or a polite kill) came; a second one at once.

    Attributes:
        received: The signal's number, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.received = None
        self._previous = {}

    def train_begin(self, trainer):
        """Take over the signals."""
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}

    def epoch_end(self, trainer, record):
        """End the run if one came."""
        if self.received:
            trainer.stop("interrupted")

    def train_end(self, trainer):
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.received:
            raise KeyboardInterrupt
        self.received = number
        print("\nstopping after this epoch; once more to stop at once", file=sys.stderr)


class TensorBoard(Callback):
    """Writes scalars, and reconstructions of images, for TensorBoard.

    Args:
        directory: Where to.
        model: The `Autoencoder`.
        rows: [n, D] tensor, the images to rebuild.
        image_shape: Of a row, (h, w) or (h, w, c), or None for rows that are no images.
    """

    def __init__(self, directory, model, rows, image_shape):
        self._writer = tf.summary.create_file_writer(str(directory))
        self._model = model
        self._rows = rows
        self._image_shape = image_shape

    @staticmethod
    def check_installed():
        """Raise TrainingError where the package is missing: TensorFlow needs it, but brings none."""
        if importlib.util.find_spec("tensorboard") is None:
            raise TrainingError(
                "--tensorboard needs the package tensorboard: pip install 'tfae[tensorboard]'"
            )

    def epoch_end(self, trainer, record):
        """Write the epoch's numbers and pictures."""
        with self._writer.as_default(step=record["epoch"]):
            for name in ("loss", "val_loss", "rows_per_s"):
                tf.summary.scalar(name, record[name])
            if self._image_shape:
                shape = (-1, *self._image_shape, 1)[:4]
                images = tf.reshape(self._model.reconstruct(self._rows), shape)
                tf.summary.image("reconstructions", images, max_outputs=images.shape[0])

    def train_end(self, trainer):
        """Have it all on disk."""
        self._writer.close()
