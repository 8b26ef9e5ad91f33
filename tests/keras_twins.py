"""Small Keras models, and what it means that two of them were trained alike."""

import keras
import numpy as np
import pytest
from tolerances import EPOCH_LOSS_RTOL, EPOCHS_WEIGHT_ATOL

import tfae

FEATURES = 36
BATCH = 60  # of 600 rows: a short last batch takes Keras' step as long again to compile
UNEVEN_BATCH = 64


def sequential(hidden=(8,), output="sigmoid", **code):
    """Dense layers in a row; `code` are settings of the first."""
    layers = [keras.layers.Dense(hidden[0], "relu", **code)]
    layers += [keras.layers.Dense(width, "relu") for width in (*hidden[1:], *hidden[-2::-1])]
    return keras.Sequential(
        [keras.Input((FEATURES,)), *layers, keras.layers.Dense(FEATURES, output)]
    )


def functional():
    """The same by calls."""
    rows = keras.Input((FEATURES,))
    codes = keras.layers.Dense(8, "relu")(rows)
    return keras.Model(rows, keras.layers.Dense(FEATURES, "sigmoid")(codes))


def nested():
    """An encoder and a decoder, models themselves, chained."""
    rows, codes = keras.Input((FEATURES,)), keras.Input((8,))
    encoder = keras.Model(rows, keras.layers.Dense(8, "relu")(rows))
    decoder = keras.Model(codes, keras.layers.Dense(FEATURES, "sigmoid")(codes))
    return keras.Model(rows, decoder(encoder(rows)))


def images():
    """Of images [6, 6], the activations in layers of their own."""
    return keras.Sequential(
        [
            keras.Input((6, 6)),
            keras.layers.Flatten(),
            keras.layers.Dense(8),
            keras.layers.ReLU(),
            keras.layers.Dense(FEATURES),
            keras.layers.Activation("sigmoid"),
            keras.layers.Reshape((6, 6)),
        ]
    )


def normalised():
    """With layers whose variables are no weights of a Dense layer, and one that is frozen."""
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Rescaling(2.0, -1.0),
            keras.layers.Dense(12, "tanh", trainable=False),
            keras.layers.Dense(8, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dense(FEATURES),
        ]
    )


class Called(keras.Model):
    """With a call of its own."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.layers.Dense(8, "relu")
        self.decoder = keras.layers.Dense(FEATURES, "sigmoid")

    def call(self, rows):
        return self.decoder(self.encoder(rows))


def noisy():
    """That draws: what, follows from Keras' own seeds."""
    layers = sequential((16,)).layers
    layers.insert(0, keras.layers.GaussianNoise(0.1))
    layers.insert(2, keras.layers.Dropout(0.2))
    return keras.Sequential([keras.Input((FEATURES,)), *layers])


class Transposed(keras.layers.Layer):
    """A decoder with the kernel of an encoder."""

    def __init__(self, dense):
        super().__init__()
        self.dense = dense

    def build(self, _):
        self.bias = self.add_weight(shape=(FEATURES,), initializer="zeros")

    def call(self, codes):
        return keras.ops.sigmoid(codes @ keras.ops.transpose(self.dense.kernel) + self.bias)


def tied():
    """With a layer of somebody's own."""
    rows, encoder = keras.Input((FEATURES,)), keras.layers.Dense(8, "relu")
    return keras.Model(rows, Transposed(encoder)(encoder(rows)))


def own_loss(targets, outputs):
    """None of Keras'."""
    return keras.ops.mean(keras.ops.square(targets - outputs) * (1 + targets), axis=-1)


def convolutions():
    """Of images, by layers that XLA has no quick way for."""
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Reshape((6, 6, 1)),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", name="seen"),
            keras.layers.Conv2DTranspose(1, 3, strides=2, padding="same"),
            keras.layers.Flatten(),
        ]
    )


def compiled(build, optimizer=None, loss="mse", **settings):
    """A model with weights that follow from a seed, compiled."""
    keras.utils.set_random_seed(1)
    model = build()
    model.compile(optimizer() if optimizer else keras.optimizers.Adam(), loss, **settings)
    return model


def same_histories(history, expected):
    """Every number of every epoch."""
    assert history.epoch == expected.epoch
    assert list(history.history) == list(expected.history)
    for name, values in expected.history.items():
        assert history.history[name] == pytest.approx(values, rel=EPOCH_LOSS_RTOL), name


def train_both(settings, x, y=None, **options):
    """The same model through Keras and through tfae: their histories are held to be equal."""
    ours, theirs = compiled(**settings), compiled(**settings)
    options = {"batch_size": BATCH, "epochs": 3, "shuffle": False, "verbose": 0, **options}
    expected = theirs.fit(x, x if y is None else y, **options)
    history = tfae.fit(ours, x, y, **options)
    same_histories(history, expected)
    return ours, theirs, history.params["engine"]


def same_weights(ours, theirs):
    """Weights, and how many steps were made; the slots show in an epoch more by Keras."""
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=EPOCHS_WEIGHT_ATOL)
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)


def go_on_with_keras(ours, theirs, x, y=None):
    """One more epoch by Keras: still equal, which proves that the slots came back."""
    histories = [
        model.fit(x, x if y is None else y, batch_size=BATCH, shuffle=False, verbose=0)
        for model in (ours, theirs)
    ]
    same_histories(*histories)
    same_weights(ours, theirs)
