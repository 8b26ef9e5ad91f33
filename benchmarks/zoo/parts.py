"""What set-ups are built of: rows of dense layers, and layers and losses of their authors' own."""

import keras
from keras import layers, ops


def sequential(features, *parts):
    """A Sequential of layers, those in lists too, behind an input of a width or a shape."""
    shape = features if isinstance(features, tuple) else (features,)
    flat = []
    for part in parts:
        flat += part if isinstance(part, list) else [part]
    return keras.Sequential([keras.Input(shape), *flat])


def dense(*widths, hidden="relu", last="linear", **options):
    """Dense layers in a row, the last one with an activation of its own."""
    made = [layers.Dense(width, hidden, **options) for width in widths[:-1]]
    return [*made, layers.Dense(widths[-1], last, **options)]


class EncoderDecoder(keras.Model):
    """A subclass with two halves, each a layer or a Sequential."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def call(self, rows):
        """The reconstruction."""
        return self.decoder(self.encoder(rows))


class Half(layers.Layer):
    """An encoder or a decoder as a layer of one's own: two dense layers."""

    def __init__(self, width, features):
        super().__init__()
        self.first = layers.Dense(width, "relu", kernel_initializer="he_uniform")
        self.second = layers.Dense(features, "sigmoid")

    def build(self, shape):
        """Both layers' weights."""
        self.first.build(shape)
        self.second.build((*shape[:-1], self.first.units))
        self.built = True

    def call(self, rows):
        """One after the other."""
        return self.second(self.first(rows))


class Transposed(layers.Layer):
    """A dense layer back, by another one's kernel transposed: tied weights."""

    def __init__(self, tied, activation=None):
        super().__init__()
        self.tied, self.activation = tied, keras.activations.get(activation)

    def build(self, shape):
        """A bias of its own."""
        width = self.tied.kernel.shape[0]
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        self.built = True

    def call(self, codes):
        """The activation of codes @ kernel.T + bias."""
        return self.activation(ops.matmul(codes, ops.transpose(self.tied.kernel)) + self.bias)


class Clusters(layers.Layer):
    """Soft assignments of codes to centres by Student's t (Xie et al., 2016)."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    def build(self, shape):
        """The centres."""
        self.centres = self.add_weight(
            shape=(self.count, shape[-1]), initializer="glorot_uniform", name="centres"
        )
        self.built = True

    def call(self, codes):
        """Shares [N, clusters] that sum to 1."""
        apart = ops.expand_dims(codes, 1) - self.centres  # [N, clusters, Z]
        near = 1 / (1 + ops.sum(ops.square(apart), axis=2))
        return near / ops.sum(near, axis=1, keepdims=True)


class Sparse(keras.regularizers.Regularizer):
    """KL divergence of a code's mean from how often it should be on."""

    def __init__(self, weight, target):
        self.weight, self.target = weight, target

    def __call__(self, codes):
        """The penalty of a batch."""
        mean = ops.clip(ops.mean(codes, axis=0), 1e-6, 1 - 1e-6)
        on = self.target * ops.log(self.target / mean)
        return self.weight * ops.sum(
            on + (1 - self.target) * ops.log((1 - self.target) / (1 - mean))
        )


class Orthogonal(keras.regularizers.Regularizer):
    """How far a kernel's columns are from being at right angles."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, kernel):
        """The penalty of a kernel."""
        products = ops.matmul(ops.transpose(kernel), kernel)
        return self.weight * ops.sum(ops.square(products - ops.eye(kernel.shape[1])))


class Contractive(layers.Dense):
    """A sigmoid layer that adds the size of its own derivative to the loss (Rifai et al., 2011)."""

    def __init__(self, units, weight):
        super().__init__(units, "sigmoid")
        self.weight = weight

    def call(self, rows):
        """The codes."""
        codes = super().call(rows)
        slopes = ops.square(codes * (1 - codes))
        sizes = ops.sum(ops.square(self.kernel), axis=0)
        self.add_loss(self.weight * ops.mean(ops.sum(slopes * sizes, axis=1)))
        return codes


class Sampling(layers.Layer):
    """Codes drawn around means.

    Args:
        weight: Of the KL divergence from a standard normal that the layer adds to the loss; 0 adds
            none.
    """

    def __init__(self, weight=0.0):
        super().__init__()
        self.weight = weight
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, moments):
        """A draw for each pair of mean and logarithm of the variance."""
        mean, log_variance = moments
        if self.weight:
            self.add_loss(self.weight * divergence(mean, log_variance))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(log_variance / 2) * noise


def divergence(mean, log_variance):
    """KL divergence from a standard normal, the mean over the rows."""
    each = 1 + log_variance - ops.square(mean) - ops.exp(log_variance)
    return -0.5 * ops.mean(ops.sum(each, axis=-1))


def masked_mse(targets, rebuilt):
    """Mean squared error of what was rated; 0 is no rating."""
    rated = ops.cast(targets > 0, rebuilt.dtype)
    errors = ops.sum(rated * ops.square(targets - rebuilt))
    return errors / ops.maximum(ops.sum(rated), 1.0)


def masked_rmse(targets, rebuilt):
    """The root of `masked_mse`, as a metric."""
    return ops.sqrt(masked_mse(targets, rebuilt))


def weighted_mse(targets, rebuilt):
    """Squared errors, each as heavy as its target is large."""
    return ops.mean(targets * ops.square(targets - rebuilt))


def multinomial(targets, logits):
    """Of what was chosen, the negative logarithm of its share (Liang et al., 2018)."""
    return -ops.mean(ops.sum(targets * ops.log_softmax(logits), axis=-1))


def negative_binomial(targets, rebuilt):
    """Of counts, where the mean and the dispersion of each stand side by side."""
    mean, spread = ops.split(rebuilt, 2, axis=-1)
    together = ops.log(spread + mean + 1e-10)
    of_spread = spread * (together - ops.log(spread + 1e-10))
    of_counts = targets * (together - ops.log(mean + 1e-10))
    constant = _log_gamma(spread) + _log_gamma(targets + 1) - _log_gamma(targets + spread)
    return ops.mean(constant + of_spread + of_counts)


def _log_gamma(values):
    """Stirling's series, at values moved up by 3."""
    moved = values + 3
    series = (moved - 0.5) * ops.log(moved) - moved + 0.9189385 + 1 / (12 * moved)
    return series - ops.log(values * (values + 1) * (values + 2) + 1e-10)
