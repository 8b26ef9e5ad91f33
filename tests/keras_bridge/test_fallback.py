"""What is left to `model.fit` itself, and that it is left as it was given."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_twins import BATCH, FEATURES, Called, compiled, same_histories, same_weights, sequential

import tfae


class OwnStep(keras.Model):
    """A model with a training step of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(FEATURES)

    def call(self, rows):
        return self.dense(rows)

    def train_step(self, data):
        return {"loss": tf.constant(0.0)}


def own_step():
    """A model that was given another training step."""
    model = sequential()
    model.train_step = lambda data: {"loss": tf.constant(0.0)}
    return model


def dictionary():
    """A model whose output has a name."""
    rows = keras.Input((FEATURES,))
    return keras.Model(rows, {"rebuilt": keras.layers.Dense(FEATURES)(rows)})


def two_outputs():
    """A model that gives its code too."""
    rows = keras.Input((FEATURES,))
    codes = keras.layers.Dense(8, name="code")(rows)
    return keras.Model(rows, [codes, keras.layers.Dense(FEATURES, name="rebuilt")(codes)])


class Lists(Called):
    """A model whose call gives a list."""

    def __init__(self):
        super().__init__()
        self(np.zeros((1, FEATURES)))

    def call(self, rows):
        return [super().call(rows)]


def two_inputs():
    """A model of the two halves of a row."""
    halves = [keras.Input((FEATURES // 2,)) for _ in range(2)]
    codes = keras.layers.Dense(8)(keras.layers.Concatenate()(halves))
    return keras.Model(halves, keras.layers.Dense(FEATURES)(codes))


class Sum(keras.Model):
    """Whose call takes two arrays."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(FEATURES)

    def call(self, parts):
        return self.dense(parts[0] + parts[1])


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
    "a step of its own": ({"build": OwnStep}, {}, "OwnStep has a train_step of its own"),
    "another step": ({"build": own_step}, {}, "Sequential has a train_step of its own"),
    "an output with a name": (
        {"build": dictionary},
        lambda rows: {"y": {"rebuilt": rows}},
        "output has a name",
    ),
    "two outputs": (
        {"build": two_outputs},
        lambda rows: {"y": [rows[:, :8], rows]},
        "the model has several outputs",
    ),
    "two inputs": (
        {"build": two_inputs},
        lambda rows: {"x": [rows[:, :18], rows[:, 18:]], "y": rows},
        "the model has several inputs",
    ),
    "two arrays": ({"build": Sum}, lambda rows: {"x": [rows, rows], "y": rows}, "several arrays"),
    "a list": ({"build": Lists}, {}, "the model gives a list"),
    "losses": ({"build": sequential, "loss": ["mse"]}, {}, "the loss is a list"),
    "no loss": ({"build": OwnStep, "loss": None}, {}, "the loss is none"),
    "eagerly": ({"build": sequential, "run_eagerly": True}, {"epochs": 1}, "run_eagerly=True"),
    "steps": ({"build": sequential}, {"steps_per_epoch": 3}, "steps_per_epoch is given"),
    "some validation": (
        {"build": sequential},
        {"validation_split": 0.3, "validation_steps": 1},
        "validation_steps is given",
    ),
    "weights of classes": (
        {"build": lambda: sequential(output="softmax"), "loss": "categorical_crossentropy"},
        lambda rows: {"y": np.eye(FEATURES)[:1].repeat(600, 0), "class_weight": {0: 2.0}},
        "class_weight is given",
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
def test_fit_does_what_model_fit_does(name, rows, capsys):
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
    assert f"training by model.fit itself: {history.params['reason']}" in capsys.readouterr().out
    assert history.params["engine"] == "fit"
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
    model = compiled(two_outputs)
    y = [rows[:, :8], rows]
    assert tfae.evaluate(model, rows, y, verbose=0) == model.evaluate(rows, y, verbose=0)
    model = compiled(sequential, metrics=["mae"])
    expected = model.evaluate(dataset(rows), verbose=0)
    assert tfae.evaluate(model, dataset(rows), verbose=0) == pytest.approx(expected)


def test_an_engine_that_is_asked_for_is_not_left_out(rows):
    for asked in ({"engine": "fused"}, {"engine": "xla"}, {"precision": "mixed_bfloat16"}):
        with pytest.raises(ValueError, match="class_weight is given: train this model with model"):
            tfae.fit(compiled(sequential), rows, class_weight={0: 1.0}, verbose=0, **asked)
