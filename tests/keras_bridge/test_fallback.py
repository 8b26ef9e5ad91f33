"""What is left to `model.fit` itself, and that it is left as it was given."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_twins import BATCH, compiled, same_histories, same_weights, sequential

import tfae
from tfae.keras_bridge.fallback import STEPS_A_CALL, steps_a_call


class Batches(keras.utils.PyDataset):
    """Rows and what they are to be, in batches."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def __len__(self):
        return -(-len(self.rows) // BATCH)

    def __getitem__(self, batch):
        part = self.rows[batch * BATCH : (batch + 1) * BATCH]
        return part, part


def generator(rows):
    """Batches without an end."""
    while True:
        yield rows[:BATCH], rows[:BATCH]


def dataset(rows):
    """Batches of TensorFlow's."""
    return tf.data.Dataset.from_tensor_slices((rows, rows)).batch(BATCH)


# Of a model its settings, what is given to fit, and the reason that is told.
LEFT = {
    "eagerly": ({"build": sequential, "run_eagerly": True}, {"epochs": 1}, "run_eagerly=True"),
    "steps": ({"build": sequential}, {"steps_per_epoch": 3}, "steps_per_epoch is given"),
    "some validation": (
        {"build": sequential},
        {"validation_split": 0.3, "validation_steps": 1},
        "validation_steps is given",
    ),
    "a Dataset": (
        {"build": sequential},
        lambda rows: {"x": dataset(rows), "batch_size": None},
        "x is a tf.data Dataset",
    ),
    "a PyDataset": (
        {"build": sequential},
        lambda rows: {"x": Batches(rows), "batch_size": None},
        "x is a keras.utils.PyDataset",
    ),
    "a generator": (
        {"build": sequential},
        lambda rows: {"x": generator(rows), "batch_size": None, "steps_per_epoch": 3},
        "steps_per_epoch is given",
    ),
    "validation by a Dataset": (
        {"build": sequential},
        lambda rows: {"validation_data": dataset(rows)},
        "validation_data is a tf.data Dataset",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_fit_does_what_model_fit_does(native, name, rows, capsys):
    settings, given, reason = LEFT[name]

    def arguments():  # anew for each: a generator is used up
        of_rows = given(rows) if callable(given) else given
        return {"x": rows, "batch_size": BATCH, "epochs": 2, "shuffle": False, **of_rows}

    ours, theirs = compiled(**settings), compiled(**settings)
    for_keras = arguments()
    if isinstance(for_keras["x"], np.ndarray):
        for_keras.setdefault("y", rows)
    expected = theirs.fit(**for_keras, verbose=0)
    with pytest.raises(ValueError, match=f"{reason}.*: train this model with model.fit"):
        tfae.fit(ours, **arguments(), verbose=0, strict=True)
    capsys.readouterr()
    history = tfae.fit(ours, **arguments(), verbose=2)
    assert (
        f"training by model.fit's own loop: {history.params['reason']}" in capsys.readouterr().out
    )
    assert history.params["engine"] == ("fit" if name == "eagerly" else "fused")
    assert reason in history.params["reason"]
    same_histories(history, expected)
    same_weights(ours, theirs)


def test_a_strategy_is_model_fits(rows):
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        model = compiled(sequential)
    history = tfae.fit(model, rows, verbose=0)
    assert history.params["engine"] == "fit"
    assert "under a tf.distribute strategy" in history.params["reason"]


def test_validation_rows_alone_are_their_own_targets(rows):
    ours, theirs = (compiled(sequential, run_eagerly=True) for _ in range(2))
    options = {"batch_size": 300, "shuffle": False, "verbose": 0}
    expected = theirs.fit(rows, rows, validation_data=(rows[:50], rows[:50]), **options)
    same_histories(tfae.fit(ours, rows, validation_data=rows[:50], **options), expected)


def test_evaluate_does_what_model_evaluate_does(rows):
    model = compiled(sequential, metrics=["mae"])
    expected = model.evaluate(dataset(rows), verbose=0)
    assert tfae.evaluate(model, dataset(rows), verbose=0) == pytest.approx(expected)


def test_an_engine_that_is_asked_for_is_not_left_out(rows):
    for asked in ({"engine": "fused"}, {"engine": "xla"}, {"precision": "mixed_bfloat16"}):
        with pytest.raises(ValueError, match="steps_per_epoch is given: train this model with mo"):
            tfae.fit(compiled(sequential), rows, steps_per_epoch=3, verbose=0, **asked)


class Told(keras.callbacks.Callback):
    """That is told of every batch."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        """As Keras calls it."""
        self.batches.append(batch)


def test_fit_makes_many_steps_a_call_and_leaves_the_model_as_it_was(rows):
    model = compiled(sequential)
    model.fit(rows, rows, batch_size=BATCH, verbose=0)
    functions = model.train_function, model.test_function
    calls, options = [], {"shuffle": False, "verbose": 0}
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: calls.append(model.steps_per_execution)
    )
    tfae.fit(model, dataset(rows), validation_data=dataset(rows), callbacks=[told], **options)
    assert calls == [STEPS_A_CALL]
    assert (model.train_function, model.test_function) == functions
    assert model.steps_per_execution == 1
    traced = model._tfae_many_steps.functions["train_function"]
    tfae.fit(model, dataset(rows), **options)
    assert model._tfae_many_steps.functions["train_function"] is traced
    model.compile("sgd", "mse")
    tfae.fit(model, dataset(rows), **options)
    assert model._tfae_many_steps.functions["train_function"] is not traced


def test_a_callback_of_batches_is_told_of_every_one(rows):
    told = Told()
    tfae.fit(compiled(sequential), dataset(rows), callbacks=told, shuffle=False, verbose=0)
    assert told.batches == list(range(len(rows) // BATCH))


@pytest.mark.parametrize(
    ("asked_for", "steps"), [([], 100), ([400, 250], 50), ([997], 997), ([7, 14], 7), ([100], 100)]
)
def test_a_call_has_no_more_steps_than_were_asked_for(asked_for, steps):
    assert steps_a_call(asked_for) == steps
