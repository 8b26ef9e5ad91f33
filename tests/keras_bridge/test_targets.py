"""Targets and weights against the model's outputs, before anything trains."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_twins import BATCH, FEATURES, Called, compiled, sequential, train_both
from tolerances import EPOCH_LOSS_RTOL

import tfae

SHAPES = {
    "a dimension between": (lambda y: y[:, None], r"\(600, 1, 36\).*gives \(600, 36\).*-1, 36\) h"),
    "a dimension behind": (lambda y: y[..., None], r"\(600, 36, 1\).*y.reshape\(-1, 36\) has it"),
    "a number a row": (lambda y: y[:, 0], r"y has the shape \(600,\), .* have the shape \(600, 36"),
    "a column": (lambda y: y[:, :1], r"y has the shape \(600, 1\), .* have the shape \(600, 36\)"),
    "images": (lambda y: y.reshape(-1, 6, 6), r"\(600, 6, 6\).*y.reshape\(-1, 36\) has it"),
}
WEIGHTS = {
    "of features": ((600, FEATURES), r"sample_weight has the shape \(600, 36\).*\[N\] = \(600,\)"),
    "of features, deep": ((600, FEATURES, 1), r"has the shape \(600, 36, 1\).*\[N\]"),
    "one row of them": ((1, FEATURES), r"has the shape \(1, 36\).*\[N\]"),
    "one": ((), r"sample_weight is .*one for all.*\[N\]"),
    "too few": ((5, 1), "x has 600 rows and sample_weight 5"),
}


def refused(message, function, *arguments, **options):
    with pytest.raises(ValueError, match=message) as raised:
        function(*arguments, verbose=0, **options)
    assert "\n" not in str(raised.value)
    assert "{{" not in str(raised.value)


@pytest.mark.parametrize("count", [1, 600])
@pytest.mark.parametrize("name", SHAPES)
def test_targets_of_another_shape_are_refused_with_both(name, count, rows):
    reshaped, message = SHAPES[name]
    x, y = rows[:count], reshaped(rows[:count] * 0.5)
    message = message.replace("600", str(count))
    model = compiled(sequential)
    refused(message, tfae.fit, model, x, y)
    refused(message, tfae.evaluate, model, x, y)
    refused(f"validation_data: .*{message}", tfae.fit, model, x, validation_data=(x, y))
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_one_a_row(name, rows):
    shape, message = WEIGHTS[name]
    weights = np.ones(shape)
    model = compiled(sequential)
    refused(message, tfae.fit, model, rows, sample_weight=weights)
    refused(message, tfae.evaluate, model, rows, sample_weight=weights)
    if shape:
        refused(message, tfae.fit, model, rows, validation_data=(rows, rows, weights))


def test_outputs_of_another_width_need_targets(rows):
    model = compiled(lambda: keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(43)]))
    must = r"the model gives 43 numbers a row: y must have the shape \(600, 43\)"
    refused(f"^{must}", tfae.fit, model, rows)
    refused(f"^y equals x, of the shape .*{must}", tfae.fit, model, rows, rows.copy())


def classifier():
    """Of four classes."""
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(4, "softmax")])


def one_number():
    """Of one number a row."""
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("build", "loss", "shape"),
    [
        (classifier, "sparse_categorical_crossentropy", (600,)),
        (classifier, keras.losses.SparseCategoricalCrossentropy(), (600, 1)),
        (classifier, "crossentropy", (600,)),
        (one_number, "mse", (600,)),
    ],
)
def test_what_keras_expands_on_purpose_stays(build, loss, shape, rows):
    y = np.random.default_rng(0).integers(0, 4, shape)
    settings = {"build": build, "loss": loss}
    train_both(settings, rows, y, epochs=1)


def test_one_hot_targets_of_labels_are_refused(rows):
    y = np.eye(4)[np.zeros(600, int)]
    model = compiled(classifier, loss="sparse_categorical_crossentropy")
    refused(r"y must have the shape \(600,\) or \(600, 1\), the labels", tfae.fit, model, rows, y)


def test_a_weight_is_of_all_of_its_row(rows):
    """Keras' [N, 1], where a row has several losses: [N] would be weights of its parts."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(36), keras.layers.Reshape((6, 6))]
    weights, images = np.random.default_rng(0).random(600), rows.reshape(-1, 6, 6)
    ours, theirs = (
        compiled(lambda: keras.Sequential([keras.Input((6, 6)), *map(clone, layers)]))
        for _ in range(2)
    )
    options = {"batch_size": 6, "shuffle": False, "verbose": 0}
    expected = theirs.fit(images, images, sample_weight=weights[:, None], **options)
    measured = tfae.fit(ours, images, sample_weight=weights, **options)
    assert measured.history["loss"] == pytest.approx(expected.history["loss"], rel=EPOCH_LOSS_RTOL)


def clone(layer):
    return type(layer).from_config(layer.get_config())


def test_a_model_that_was_called_before_takes_any_number_of_rows(rows):
    model = compiled(lambda: keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(36)]))
    model.predict(rows[:32], verbose=0)
    expected = model.evaluate(rows, rows, verbose=0)
    assert tfae.evaluate(model, rows, verbose=0) == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)


@pytest.mark.parametrize(
    ("loss", "scaled"),
    [
        ("binary_crossentropy", lambda rows: 255 * rows),
        ("binary_crossentropy", lambda rows: rows - 0.5),
        (keras.losses.BinaryFocalCrossentropy(), lambda rows: rows - 0.5),
        ("categorical_crossentropy", lambda rows: rows * 2),
        ("crossentropy", lambda rows: rows * 2),
    ],
)
def test_a_cross_entropy_beyond_its_range_is_warned_of_once(loss, scaled, rows):
    model, x = compiled(sequential, loss=loss), scaled(rows)
    with pytest.warns(UserWarning, match=r"beyond 0\.\.1 has no lower bound, and x goes") as warned:
        tfae.evaluate(model, x, verbose=0)
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_targets_within_the_range_are_not_warned_of(native, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tfae.fit(compiled(sequential, loss="binary_crossentropy"), rows, verbose=0)
        tfae.evaluate(compiled(sequential, loss="mse"), rows - 0.5, verbose=0)
    model = compiled(sequential, loss="binary_crossentropy")
    with pytest.warns(UserWarning, match="y goes from -0.5"):
        tfae.fit(model, rows, validation_data=(rows, rows - 0.5), verbose=0)


class Branches(Called):
    """Whose call looks at numbers, which model.fit takes by AutoGraph."""

    def call(self, rows):
        return super().call(rows if tf.reduce_sum(rows) > 0 else -rows)


def its_own(targets, outputs):
    """A metric that leaves TensorFlow."""
    return tf.reduce_mean(targets - outputs).numpy()


@pytest.mark.parametrize(
    ("settings", "width", "message"),
    [
        ({"build": Branches}, 36, "cannot make a graph of .*Python `bool`"),
        ({"build": sequential, "metrics": [its_own]}, 36, "cannot make a graph of .*'numpy'"),
        (
            {"build": sequential, "metrics": ["sparse_categorical_accuracy"]},
            36,
            r"the metrics cannot be had of y \(7, 36\) and outputs \(7, 36\): .*[Ss]hapes",
        ),
        ({"build": Called}, 35, r"does not take rows of the shape \(35,\)"),
    ],
)
def test_no_name_of_a_node_reaches_a_user(settings, width, message, rows):
    model = compiled(**settings)
    if width != FEATURES:
        model(rows[:1])
    refused(message, tfae.fit, model, rows[:, :width], rows, batch_size=BATCH)
