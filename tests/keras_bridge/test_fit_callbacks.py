"""Keras' own callbacks under `tfae.fit`: each does what it does under `model.fit`."""

import csv
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import callbacks, optimizers
from keras_twins import BATCH, FEATURES, compiled, same_histories, sequential
from tolerances import EPOCHS_WEIGHT_ATOL

import tfae


def train_both(rows, make_callback, epochs=6, optimizer=None, **settings):
    """The same through Keras and tfae, each with a callback of its own: (history, expected)."""
    histories = []
    for ours in (True, False):
        model = compiled(sequential, optimizer, **settings)
        options = {"batch_size": BATCH, "epochs": epochs, "shuffle": False, "verbose": 0}
        options |= {"callbacks": [make_callback()], "validation_data": (rows[:100], rows[:100])}
        if ours:
            histories.append(tfae.fit(model, rows, **options))
        else:
            histories.append(model.fit(rows, rows, **options))
    same_histories(*histories)
    return histories


def test_early_stopping(native, rows):
    def callback():
        return callbacks.EarlyStopping(min_delta=0.002, patience=1, restore_best_weights=True)

    ours, theirs = train_both(rows, callback, epochs=40, optimizer=lambda: optimizers.SGD(1.0))
    assert len(ours.epoch) < 40
    for one, other in zip(ours.model.get_weights(), theirs.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=EPOCHS_WEIGHT_ATOL)


def test_learning_rate_scheduler(native, rows):
    ours, _ = train_both(
        rows, lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    )
    assert ours.history["learning_rate"][-1] == pytest.approx(0.001 * 0.5**6)


def test_reduce_on_plateau(native, rows):
    ours, _ = train_both(rows, lambda: callbacks.ReduceLROnPlateau(min_delta=1.0, patience=2))
    assert ours.history["learning_rate"][-1] < 1e-4


def test_terminate_on_nan(native, rows):
    model = compiled(lambda: sequential(output="linear"), lambda: optimizers.SGD(1e30))
    history = tfae.fit(model, rows, epochs=9, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert history.epoch == [0]


def test_model_checkpoint(native, rows, tmp_path):
    saved = callbacks.ModelCheckpoint(str(tmp_path / "{epoch}-{val_loss:.3f}.keras"))
    model = compiled(sequential)
    history = tfae.fit(model, rows, epochs=3, validation_split=0.1, verbose=0, callbacks=[saved])
    loss = history.history["val_loss"][-1]
    assert len(list(tmp_path.glob("*.keras"))) == 3
    last = keras.models.load_model(tmp_path / f"3-{loss:.3f}.keras")
    for one, other in zip(last.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(last.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_csv_logger(native, rows, tmp_path):
    model = compiled(sequential, metrics=["mae"])
    history = tfae.fit(
        model,
        rows,
        epochs=3,
        verbose=0,
        callbacks=[callbacks.CSVLogger(tmp_path / "log.csv")],
    )
    with (tmp_path / "log.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["mae"]) for line in lines] == history.history["mae"]


def test_tensorboard(native, rows, tmp_path):
    model = compiled(sequential)
    callback = callbacks.TensorBoard(tmp_path, histogram_freq=1)
    history = tfae.fit(model, rows, epochs=3, validation_split=0.1, verbose=0, callbacks=[callback])
    for part, name in (("train", "loss"), ("validation", "val_loss")):
        events = [
            tf.make_ndarray(value.tensor)
            for file in (tmp_path / part).glob("events*")
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
            if value.tag == "epoch_loss"
        ]
        assert events == pytest.approx(history.history[name], rel=1e-6)


def test_backup_and_restore(native, rows, tmp_path):
    class Stop(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    options = {"epochs": 4, "batch_size": BATCH, "shuffle": False, "verbose": 0}
    whole = tfae.fit(compiled(sequential), rows, **options).history["loss"]
    backup = str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        tfae.fit(
            compiled(sequential),
            rows,
            callbacks=[callbacks.BackupAndRestore(backup), Stop()],
            **options,
        )
    resumed = tfae.fit(
        compiled(sequential), rows, callbacks=[callbacks.BackupAndRestore(backup)], **options
    )
    assert resumed.epoch == [2, 3]
    assert resumed.history["loss"] == whole[2:]


class Counter(callbacks.Callback):
    """One that counts batches."""

    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


class Listener(callbacks.Callback):
    """One that wants to know of every batch that is no training."""

    def __init__(self):
        super().__init__()
        self.told = []

    def on_test_batch_end(self, batch, logs=None):
        self.told.append((batch, logs["loss"]))

    def on_predict_begin(self, logs=None):
        self.told.append("begin")

    def on_predict_batch_end(self, batch, logs=None):
        self.told.append((batch, logs["outputs"].shape))

    def on_predict_end(self, logs=None):
        self.told.append("end")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Counter, "Counter"),
        (
            lambda: callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None),
            "LambdaCallback",
        ),
        (lambda: callbacks.ModelCheckpoint("{epoch}.keras", save_freq=5), "ModelCheckpoint"),
        (lambda: callbacks.TensorBoard("logs", update_freq="batch"), "TensorBoard"),
    ],
)
def test_one_that_needs_batches_is_named(native, make, name, rows):
    callback = make()
    with pytest.warns(UserWarning, match=f"{name} works batch by batch.*use model.fit"):
        tfae.fit(compiled(sequential), rows, epochs=2, verbose=0, callbacks=[callback])
    if name == "Counter":
        assert callback.count == 2


def test_one_that_needs_batches_of_a_test_is_named(native, rows):
    model, callback = compiled(sequential), Listener()
    settings = {"verbose": 0, "callbacks": [callback]}
    named = "Listener works batch by batch.*use model."
    with pytest.warns(UserWarning, match=f"{named}evaluate"):
        loss = tfae.evaluate(model, rows, **settings)
    with pytest.warns(UserWarning, match=f"{named}predict"):
        tfae.predict(model, rows, **settings)
    with pytest.warns(UserWarning, match=f"{named}fit"):
        history = tfae.fit(model, rows, validation_split=0.5, batch_size=BATCH, **settings)
    validation = history.history["val_loss"][0]
    predicted = ["begin", (0, (600, FEATURES)), "end"]
    assert callback.told == [(0, loss), *predicted, (4, validation)]


def test_the_others_are_not_warned_of(native, rows, tmp_path):
    quiet = [
        callbacks.EarlyStopping("loss"),
        callbacks.ModelCheckpoint(str(tmp_path / "a.keras"), monitor="loss"),
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.TerminateOnNaN(),
        callbacks.BackupAndRestore(str(tmp_path / "backup")),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        Listener(),  # where nothing is tested
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tfae.fit(compiled(sequential), rows, verbose=0, callbacks=quiet)


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_progress_is_keras_own(native, verbose, rows, capsys):
    tfae.fit(compiled(sequential), rows, epochs=2, batch_size=BATCH, verbose=verbose)
    printed = capsys.readouterr().out
    assert "Epoch 2/2" in printed
    assert "10/10" in printed
    assert "loss: 0." in printed
    tfae.fit(compiled(sequential), rows, verbose=0)
    assert capsys.readouterr().out == ""
