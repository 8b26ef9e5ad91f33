"""Layers, losses and models of people's own that set-ups have in common."""

import keras
from keras import layers, ops


def dense(*widths, activation="relu", last="linear", **settings):
    """Dense layers in a row: a list."""
    hidden = [layers.Dense(width, activation, **settings) for width in widths[:-1]]
    return [*hidden, layers.Dense(widths[-1], last)]


def stack(features, *made):
    """A Sequential of layers."""
    shape = features if isinstance(features, tuple) else (features,)
    return keras.Sequential([keras.Input(shape), *made])


def compiled(model, optimizer="adam", loss="mse", **settings):
    """The model, compiled."""
    model.compile(optimizer, loss, **settings)
    return model


class Transposed(layers.Layer):
    """The kernel of a Dense layer, the other way round."""

    def __init__(self, dense, activation=None):
        super().__init__()
        self.dense, self.activation = dense, keras.activations.get(activation)

    def build(self, shape):
        """Make the bias."""
        self.bias = self.add_weight(shape=(self.dense.kernel.shape[0],), initializer="zeros")

    def call(self, codes):
        """As Keras calls it."""
        return self.activation(ops.matmul(codes, ops.transpose(self.dense.kernel)) + self.bias)


class KLSparsity(keras.regularizers.Regularizer):
    """The divergence of a code's mean activity from a target."""

    def __init__(self, weight, target=0.1):
        self.weight, self.target = weight, target

    def __call__(self, codes):
        mean = ops.clip(ops.mean(codes, axis=0), 1e-6, 1 - 1e-6)
        of_ones = self.target * ops.log(self.target / mean)
        of_zeros = (1 - self.target) * ops.log((1 - self.target) / (1 - mean))
        return self.weight * ops.sum(of_ones + of_zeros)


class Uncorrelated(keras.regularizers.Regularizer):
    """How far a code's columns are from being uncorrelated."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, codes):
        rows = ops.cast(ops.shape(codes)[0], "float32")
        centred = codes - ops.mean(codes, axis=0)
        covariance = ops.matmul(ops.transpose(centred), centred) / rows
        return self.weight * ops.sum(ops.square(covariance * (1 - ops.eye(codes.shape[1]))))


class Sampling(layers.Layer):
    """A draw from a Gaussian code, whose divergence is a loss of the layer's."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight, self.seeds = weight, keras.random.SeedGenerator(1)

    def call(self, inputs):
        """As Keras calls it."""
        mean, log_variance = inputs
        divergence = 1 + log_variance - ops.square(mean) - ops.exp(log_variance)
        self.add_loss(-0.5 * self.weight * ops.mean(divergence))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log_variance) * noise


class Autoencoder(keras.Model):
    """An encoder and a decoder, called one after the other."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def call(self, rows):
        """As Keras calls it."""
        return self.decoder(self.encoder(rows))


class Clusters(layers.Layer):
    """How near a code is to each of some centres, by Student's distribution."""

    def __init__(self, count, **settings):
        super().__init__(**settings)
        self.count = count

    def build(self, shape):
        """Make the centres."""
        self.centres = self.add_weight(shape=(self.count, shape[-1]), initializer="glorot_uniform")

    def call(self, codes):
        """As Keras calls it."""
        distance = ops.sum(ops.square(ops.expand_dims(codes, 1) - self.centres), axis=2)
        nearness = 1 / (1 + distance)
        return nearness / ops.sum(nearness, axis=1, keepdims=True)


class Variational(keras.Model):
    """Dense layers as keras.io has its variational autoencoder, with a step of its own."""

    def __init__(self, features, hidden, codes):
        super().__init__()
        self.encoder = keras.Sequential([layers.Dense(hidden, "relu"), layers.Dense(2 * codes)])
        self.decoder = keras.Sequential(dense(hidden, features, last="sigmoid"))
        self.seeds = keras.random.SeedGenerator(1)
        names = ("total_loss", "reconstruction_loss", "kl_loss")
        self.means = [keras.metrics.Mean(name=name) for name in names]

    @property
    def metrics(self):
        """Those that are reset at an epoch's begin."""
        return self.means

    def train_step(self, rows):
        """As Keras calls it."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            mean, log_variance = ops.split(self.encoder(rows), 2, axis=-1)
            noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
            rebuilt = self.decoder(mean + ops.exp(0.5 * log_variance) * noise)
            lost = ops.mean(ops.sum(ops.square(rows - rebuilt), axis=-1))
            divergence = 1 + log_variance - ops.square(mean) - ops.exp(log_variance)
            spread = ops.mean(ops.sum(-0.5 * divergence, axis=1))
            total = lost + spread
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(total, weights), weights, strict=True))
        for mean, value in zip(self.means, (total, lost, spread), strict=True):
            mean.update_state(value)
        names = ("loss", "reconstruction_loss", "kl_loss")
        return {name: mean.result() for name, mean in zip(names, self.means, strict=True)}


def masked_mse(targets, outputs):
    """Of the ratings that there are."""
    known = ops.cast(ops.not_equal(targets, 0), "float32")
    return ops.sum(known * ops.square(targets - outputs), -1) / ops.maximum(ops.sum(known, -1), 1)


def masked_rmse(targets, outputs):
    """Its root."""
    known = ops.cast(ops.not_equal(targets, 0), "float32")
    return ops.sqrt(ops.sum(known * ops.square(targets - outputs)) / ops.maximum(ops.sum(known), 1))


def weighted_mse(targets, outputs):
    """Weighted by what is to be rebuilt."""
    return ops.mean(targets * ops.square(targets - outputs), axis=-1)


def rounded_accuracy(targets, outputs):
    """A metric of somebody's own."""
    return ops.mean(ops.cast(ops.equal(ops.round(targets), ops.round(outputs)), "float32"))


def squared_root(targets, outputs):
    """A loss of somebody's own."""
    return ops.sqrt(ops.mean(ops.square(targets - outputs), axis=-1) + 1e-9)
