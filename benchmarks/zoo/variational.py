"""Variational set-ups: codes are drawn."""

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.zoo.parts import Sampling, dense, divergence, sequential
from benchmarks.zoo.rows import pixels, rebuilt, standard
from benchmarks.zoo.set_up import set_up


def _encoder(features, width, codes, weight=0.0):
    """(rows, mean, log variance, draw)."""
    rows = keras.Input((features,))
    hidden = layers.Dense(width, "relu")(rows)
    moments = [layers.Dense(codes)(hidden) for _ in range(2)]
    return rows, *moments, Sampling(weight)(moments)


@set_up(
    "a common form of the variational autoencoder: the divergence by add_loss",
    rebuilt(standard(30)),
    rows=20_000,
    batch_size=128,
    epochs=50,
    drawn=True,
)
def vae_add_loss():
    """30-24-2-24-30, the Sampling layer with a loss of its own."""
    rows, _, _, codes = _encoder(30, 24, 2, weight=0.1)
    model = keras.Model(rows, sequential(2, dense(24, 30))(codes))
    model.compile("adam", "mse")
    return model


class Variational(keras.Model):
    """An encoder and a decoder with a step of their own, which needs no targets."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        names = "loss", "rebuilt_loss", "divergence"
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self):
        """The means that are begun anew every epoch."""
        return list(self.means.values())

    def train_step(self, rows):
        """Update the weights by the rows of a batch."""
        with tf.GradientTape() as tape:
            mean, log_variance, codes = self.encoder(rows)
            errors = keras.losses.binary_crossentropy(rows, self.decoder(codes))
            rebuilt_loss = 784 * ops.mean(errors)
            apart = divergence(mean, log_variance)
            loss = rebuilt_loss + apart
        grads = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        for mean, value in zip(self.means.values(), (loss, rebuilt_loss, apart), strict=True):
            mean.update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}


def _alone(count, images):
    """Images without targets."""
    return {"x": pixels(784)(count, images)}


@set_up(
    "keras.io, Variational AutoEncoder, dense for its convolutions",
    _alone,
    rows=70_000,
    batch_size=128,
    epochs=30,
    drawn=True,
)
def vae_train_step():
    """784-256-2-256-784, a train_step of one's own and no targets."""
    rows, *moments, codes = _encoder(784, 256, 2)
    encoder = keras.Model(rows, [*moments, codes])
    model = Variational(encoder, sequential(2, dense(256, 784, last="sigmoid")))
    model.compile(keras.optimizers.Adam())
    return model
