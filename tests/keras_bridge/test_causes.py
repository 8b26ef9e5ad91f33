"""Every cause by name: why it is Keras' own step, and why a model is refused."""

import functools

import keras
import pytest
from keras import layers
from keras_twins import FEATURES, compiled, same_weights, sequential, train_both

import tfae


def stack(*between, output="sigmoid", after=(), **hidden):
    """Two Dense layers with others between them, and behind."""
    first = layers.Dense(8, "relu", name="first", **hidden)
    last = layers.Dense(FEATURES, output, name="last")
    return keras.Sequential([keras.Input((FEATURES,)), first, *between, last, *after])


def reason(model, rows, **options):
    """What a call tells of it before its first epoch."""
    return tfae.fit(model, rows, epochs=0, verbose=0, **options).params["reason"]


def test_all_causes_are_told_at_once(rows, capsys):
    model = compiled(
        lambda: stack(layers.Dropout(0.1, name="drop"), kernel_regularizer="l2"),
        keras.optimizers.RMSprop,
        metrics=["mae"],
        loss="log_cosh",
    )
    told = (
        "it has metrics ('mae'), layer 'first' has a kernel_regularizer, layer 'drop' is a Dropout,"
        " the loss is log_cosh, the optimizer is RMSprop"
    )
    history = tfae.fit(model, rows, epochs=1, verbose=2, engine="xla")
    assert history.params["reason"] == told
    assert told in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("settings", "options", "told"),
    [
        (
            {"build": lambda: stack(layers.BatchNormalization(name="norm")), "loss_weights": 0.5},
            {"sample_weight": True},
            "the rows have weights (sample_weight), its loss has a weight, layer 'norm' is a "
            "BatchNormalization",
        ),
        (
            {"build": lambda: stack(layers.LeakyReLU(name="a"), layers.LeakyReLU(name="b"))},
            {},
            "layer 'a' is a LeakyReLU, layer 'b' is a LeakyReLU",
        ),
        (
            {"build": lambda: stack(output="softmax"), "optimizer": keras.optimizers.Nadam},
            {},
            "layer 'last' has an activation that is none of tfae's (softmax), "
            "the optimizer is Nadam",
        ),
        (
            {
                "build": lambda: stack(activity_regularizer="l1", bias_constraint="non_neg"),
                "optimizer": lambda: keras.optimizers.Adam(amsgrad=True, clipvalue=1.0),
            },
            {},
            "layer 'first' has a bias_constraint, layer 'first' has an activity_regularizer, the "
            "optimizer is Adam with amsgrad=True, the optimizer has a clipvalue",
        ),
        (
            {
                "build": lambda: stack(layers.Dropout(0.1, name="drop"), output="tanh"),
                "loss": keras.losses.BinaryCrossentropy(label_smoothing=0.1),
            },
            {},
            "layer 'drop' is a Dropout, the loss is BinaryCrossentropy with label_smoothing=0.1, "
            "the cross-entropy is not of a sigmoid, but of a tanh activation",
        ),
    ],
)
def test_causes_of_every_kind_stand_together(settings, options, told, rows):
    if options:
        options = {"sample_weight": rows[:, 0]}
    assert reason(compiled(**settings), rows, **options) == told


@pytest.mark.parametrize("layer", [layers.Reshape((6, 6)), layers.Flatten()])
def test_the_layer_that_hides_a_sigmoid_is_named_with_a_remedy(layer, rows):
    model = compiled(lambda: stack(after=[layer]), loss="binary_crossentropy")
    y = rows.reshape(-1, *model.output_shape[1:])
    told = reason(model, rows, y=y)
    assert f"layer {layer.name!r} hides the sigmoid" in told
    assert "flatten the rows instead" in told
    assert "from_logits=True" in told


@pytest.mark.parametrize("after", [(), (layers.Flatten(),)], ids=["bare", "flattened"])
def test_the_other_remedy_is_one(native, after, rows):
    """Logits and from_logits=True train on tfae's engine, as Keras trains them."""
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    settings = {"build": lambda: stack(output="linear", after=map(clone, after)), "loss": loss}
    ours, theirs, engine = train_both(settings, rows, validation_split=0.2)
    assert engine == "fused"
    same_weights(ours, theirs)


def clone(layer):
    return type(layer).from_config(layer.get_config())


class OwnLoss(keras.losses.Loss):
    """One of somebody's own."""

    def call(self, targets, outputs):
        return keras.ops.mean((targets - outputs) ** 2, -1)


def loss(targets, outputs):
    """A function that is called so."""
    return keras.ops.mean((targets - outputs) ** 2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (loss, "the loss is a function of your own ('loss')"),
        (lambda targets, outputs: outputs, "the loss is a function of your own (a lambda)"),
        (functools.partial(loss), "the loss is an object of your own (partial)"),
        (OwnLoss(), "the loss is an object of your own (OwnLoss)"),
    ],
)
def test_a_loss_of_ones_own_is_called_so(given, told, rows):
    assert reason(compiled(sequential, loss=given), rows) == told


def test_all_that_leaves_a_model_to_fit_is_told_at_once(rows):
    model = compiled(sequential, run_eagerly=True)
    model.make_train_function = lambda force=False: None
    model.layers[0].stateful = True
    with pytest.raises(ValueError, match="run_eagerly=True") as raised:
        tfae.fit(model, rows, verbose=0, strict=True)
    for told in (
        "the model keeps a state from batch to batch",
        "Sequential has a make_train_function of its own",
        "train this model with model.fit",
    ):
        assert told in str(raised.value)
