"""Models of several arrays, and with steps, losses and metrics of their own: all by Keras' step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_twins import (
    BATCH,
    FEATURES,
    UNEVEN_BATCH,
    Called,
    compiled,
    same_histories,
    same_weights,
    sequential,
)
from tolerances import EPOCH_LOSS_RTOL, RECONSTRUCTION_ATOL

import tfae
from tfae.keras_bridge import steps


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


class Variational(keras.Model):
    """With a step of its own, whose logs are no means of metrics, and a draw in it."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.layers.Dense(2 * 4)
        self.decoder = keras.Sequential([keras.layers.Dense(FEATURES, "sigmoid")])
        self.seeds = keras.random.SeedGenerator(3)
        self.total = keras.metrics.Mean(name="total")

    @property
    def metrics(self):
        return [self.total]

    def losses_of(self, rows, noise):
        mean, log_variance = keras.ops.split(self.encoder(rows), 2, axis=-1)
        codes = mean + noise * keras.ops.exp(0.5 * log_variance)
        rebuilt = keras.ops.mean(keras.losses.binary_crossentropy(rows, self.decoder(codes)))
        spread = keras.ops.mean(keras.ops.square(mean) + keras.ops.exp(log_variance) - log_variance)
        return rebuilt, spread

    def train_step(self, rows):
        noise = keras.random.normal((keras.ops.shape(rows)[0], 4), seed=self.seeds)
        with tf.GradientTape() as tape:
            rebuilt, spread = self.losses_of(rows, noise)
            loss = rebuilt + 0.01 * spread
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.total.update_state(loss)
        return {"loss": self.total.result(), "last": rebuilt}

    def test_step(self, rows):
        rebuilt, spread = self.losses_of(rows, 0.0)
        self.total.update_state(rebuilt + spread)
        return {"loss": self.total.result()}


class Counted(Called):
    """With metrics of its own beside those of compile, and a loss of its own."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.abs(y - y_pred)) + 1e-3 * keras.ops.sum(y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        made = super().compute_metrics(x, y, y_pred, sample_weight)
        return made | {"most": keras.ops.max(y_pred)}


def own_losses():
    """A model that has no other loss than a layer's."""
    rows = keras.Input((FEATURES,))
    codes = keras.layers.Dense(8, activity_regularizer="l2")(rows)
    return keras.Model(rows, keras.layers.Dense(FEATURES, activity_regularizer="l2")(codes))


def named_inputs():
    """A model of a row and of a number of a category beside it."""
    rows, kinds = keras.Input((FEATURES,), name="rows"), keras.Input((), name="kind", dtype="int32")
    codes = keras.layers.Dense(8)(rows) + keras.layers.Embedding(5, 8)(kinds)
    return keras.Model({"rows": rows, "kind": kinds}, keras.layers.Dense(FEATURES)(codes))


def two_of_numbers():
    """A model of two numbers of categories, as recommenders are."""
    kinds = [keras.Input((1,), dtype="int32") for _ in range(2)]
    codes = [keras.layers.Flatten()(keras.layers.Embedding(7, 4)(kind)) for kind in kinds]
    return keras.Model(kinds, keras.layers.Dot(1)(codes))


class Sampling(keras.layers.Layer):
    """That draws whenever it is called."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(5)

    def call(self, codes):
        return codes + 0.1 * keras.random.normal(keras.ops.shape(codes), seed=self.seeds)


def sampled():
    """A model of such a layer."""
    rows = keras.Input((FEATURES,))
    codes = Sampling()(keras.layers.Dense(8)(rows))
    return keras.Model(rows, keras.layers.Dense(FEATURES)(codes))


KINDS = np.arange(600, dtype="int32") % 5
CLASSES = np.eye(FEATURES, dtype="float32")[KINDS]
# Of a model its settings, and what is given to fit.
MODELS = {
    "a step of its own": ({"build": OwnStep}, lambda rows: {}),
    "another step": ({"build": own_step}, lambda rows: {}),
    "logs of its own": ({"build": Variational, "loss": None}, lambda rows: {"epochs": 3}),
    "draws of its own": ({"build": sampled}, lambda rows: {"y": rows}),
    "metrics of its own": ({"build": Counted, "metrics": ["mae"]}, lambda rows: {"y": rows}),
    "an output with a name": ({"build": dictionary}, lambda rows: {"y": {"rebuilt": rows}}),
    "losses by name": (
        {"build": dictionary, "loss": {"rebuilt": "mae"}, "metrics": {"rebuilt": ["mse"]}},
        lambda rows: {"y": {"rebuilt": rows}},
    ),
    "two outputs": (
        {"build": two_outputs, "loss": ["mae", "mse"], "loss_weights": [0.5, 1.0]},
        lambda rows: {"y": [rows[:, :8], rows], "sample_weight": np.linspace(0, 1, 600)},
    ),
    "a weight each": (
        {"build": two_outputs},
        lambda rows: {
            "y": [rows[:, :8], rows],
            "sample_weight": [np.linspace(0, 1, 600), np.linspace(1, 0, 600)],
        },
    ),
    "two inputs": (
        {"build": two_inputs},
        lambda rows: {"x": [rows[:, :18], rows[:, 18:]], "y": rows},
    ),
    "inputs by name": (
        {"build": named_inputs},
        lambda rows: {"x": {"rows": rows, "kind": KINDS}, "y": rows, "validation_split": 0.2},
    ),
    "two of numbers": (
        {"build": two_of_numbers},
        lambda rows: {"x": [KINDS, KINDS[::-1]], "y": rows[:, :1]},
    ),
    "two arrays": ({"build": Sum}, lambda rows: {"x": [rows, rows], "y": rows}),
    "a list": ({"build": Lists}, lambda rows: {"y": rows}),
    "a list of a loss": ({"build": sequential, "loss": ["mse"]}, lambda rows: {"y": rows}),
    "a layer's loss": ({"build": own_losses, "loss": None}, lambda rows: {}),
    "weights of classes": (
        {"build": lambda: sequential(output="softmax"), "loss": "categorical_crossentropy"},
        lambda rows: {"y": CLASSES, "class_weight": {0: 2.0, 3: 0.5}},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_trains_as_keras_trains_it(name, rows):
    settings, given = MODELS[name]
    ours, theirs = compiled(**settings), compiled(**settings)
    options = {"x": rows, "batch_size": BATCH, "epochs": 2, "shuffle": False, "verbose": 0}
    options |= given(rows)
    expected = theirs.fit(**options)
    history = tfae.fit(ours, **options, strict=True)
    assert history.params["engine"] == "fused", history.params["reason"]
    same_histories(history, expected)
    same_weights(ours, theirs)


def test_a_step_of_ones_own_is_validated_evaluated_and_compiled_as_well(rows, monkeypatch):
    ours, theirs = (compiled(Variational, loss=None) for _ in range(2))
    options = {"batch_size": UNEVEN_BATCH, "shuffle": False, "verbose": 0}
    options["validation_data"] = (rows[:100],)
    expected = theirs.fit(rows, **options)
    same_histories(tfae.fit(ours, rows, engine="xla", **options), expected)
    assert tfae.evaluate(ours, rows, verbose=0) == pytest.approx(theirs.evaluate(rows, verbose=0))
    monkeypatch.setattr(steps, "is_worth_compiling", lambda *_: True)
    again = tfae.fit(ours, rows, engine="xla", **options).history
    assert list(again) == list(expected.history)
    assert again["loss"][0] < expected.history["loss"][0]  # whose noise is another


def test_several_arrays_are_evaluated_and_predicted_as_by_keras(rows):
    model = compiled(two_outputs)
    y = [rows[:, :8], rows]
    assert tfae.evaluate(model, rows, y, verbose=0) == pytest.approx(
        model.evaluate(rows, y, verbose=0), rel=EPOCH_LOSS_RTOL
    )
    for made, expected in zip(
        tfae.predict(model, rows, verbose=0), model.predict(rows, verbose=0), strict=True
    ):
        np.testing.assert_allclose(made, expected, atol=RECONSTRUCTION_ATOL)
    halves = [rows[:, :18], rows[:, 18:]]
    model = compiled(two_inputs)
    np.testing.assert_allclose(
        tfae.predict(model, halves, verbose=0),
        model.predict(halves, verbose=0),
        atol=RECONSTRUCTION_ATOL,
    )


WRONG = {
    "too few": ([np.ones((9, 18))], "x must be a list of 2 arrays, got one"),
    "too many": (
        [np.ones((9, 18))] * 3,
        r"x must be a list of 2 arrays, got a list of several \(3",
    ),
    "other rows": ([np.ones((9, 18)), np.ones((8, 18))], "the arrays of x have 9, 8 rows"),
    "text": ([np.ones((9, 18)), ["a"] * 9], r"x\[1\] must be an array of numbers"),
    "other columns": ([np.ones((9, 18)), np.ones((9, 7))], "does not take rows of the shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays_are_named(name):
    x, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        tfae.fit(compiled(two_inputs), x, np.ones((9, FEATURES)), verbose=0)


def test_class_weights_are_of_one_output_and_stand_alone(rows):
    model = compiled(two_outputs)
    with pytest.raises(ValueError, match="class_weight is for a model with one output"):
        tfae.fit(model, rows, [rows[:, :8], rows], class_weight={0: 2.0}, verbose=0)
    with pytest.raises(ValueError, match="sample_weight or class_weight, not both"):
        tfae.fit(compiled(sequential), rows, class_weight={0: 2.0}, sample_weight=KINDS, verbose=0)
