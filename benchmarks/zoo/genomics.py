"""Set-ups that rebuild counts of genes."""

import keras
import numpy as np
from keras import layers, ops

from benchmarks.zoo import parts
from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import counts, log_counts, rebuilt, unit
from benchmarks.zoo.set_up import set_up


@set_up(
    "a common form of expression profiles: a Poisson loss of an exponential output",
    rebuilt(counts(1000)),
    rows=3000,
    batch_size=64,
    epochs=100,
)
def poisson_counts():
    """1000-64-16-64-1000."""
    model = sequential(1000, dense(64, 16, 64, 1000, hidden="elu", last="exponential"))
    model.compile(keras.optimizers.Adam(1e-4, clipvalue=1.0), "poisson")
    return model


def _of_other_genes(count, images):
    """1,500 genes from which 512 others are to be told."""
    rows = log_counts(2012)(count, images)
    held = count // 20 or 1
    parts_of = rows[:, :1500], rows[:, 1500:]
    x, y = parts_of
    return {"x": x, "y": y, "validation_data": (x[:held], y[:held])}


@set_up(
    "lanagarmire/deepimpute: one sub-network of 512 genes",
    _of_other_genes,
    rows=2700,
    batch_size=64,
    epochs=500,
    drawn=True,
    callbacks=lambda: [keras.callbacks.EarlyStopping(patience=5)],
)
def deepimpute():
    """1500-256-512 with Dropout, softplus and a weighted loss."""
    inner = [layers.Dense(256, "relu"), layers.Dropout(0.2), layers.Dense(512, "softplus")]
    model = sequential(1500, inner)
    model.compile(keras.optimizers.Adam(1e-4), parts.weighted_mse)
    return model


def _with_sizes(count, images):
    """Scaled counts, each cell's size, and the counts."""
    rows = counts(2000)(count, images)
    sizes = rows.sum(1, keepdims=True)
    sizes /= np.median(sizes)
    scaled = np.log1p(rows / sizes)
    return {"x": {"rows": scaled - scaled.mean(0), "sizes": sizes}, "y": rows}


@set_up(
    "theislab/dca: counts of negative binomials, at a width of 2,000 genes",
    _with_sizes,
    rows=2700,
    epochs=300,
    validation_split=0.1,
    callbacks=lambda: [
        keras.callbacks.ReduceLROnPlateau(patience=10),
        keras.callbacks.EarlyStopping(patience=15),
    ],
)
def dca():
    """64-32-64 with BatchNormalization, two inputs, mean and dispersion out, by clipped RMSprop."""
    rows, sizes = keras.Input((2000,), name="rows"), keras.Input((1,), name="sizes")
    hidden = rows
    for width in (64, 32, 64):
        hidden = layers.BatchNormalization(scale=False)(layers.Dense(width)(hidden))
        hidden = layers.Activation("relu")(hidden)
    mean = layers.Dense(2000, lambda logits: ops.clip(ops.exp(logits), 1e-5, 1e6))(hidden)
    spread = layers.Dense(2000, lambda logits: ops.clip(ops.softplus(logits), 1e-4, 1e4))(hidden)
    both = layers.Concatenate()([layers.Multiply()([mean, sizes]), spread])
    model = keras.Model({"rows": rows, "sizes": sizes}, both)
    optimizer = keras.optimizers.RMSprop(1e-3, clipvalue=5.0)
    model.compile(optimizer, parts.negative_binomial)
    return model


def _two_views(count, images):
    """Genes and proteins of the same cells."""
    genes, proteins = log_counts(1200)(count, images), unit(120)(count, images)
    views = {"genes": genes, "proteins": proteins}
    return {"x": views, "y": views}


@set_up(
    "a common form of multi-modal autoencoders: genes and surface proteins of the same cells",
    _two_views,
    rows=8000,
    batch_size=128,
    epochs=50,
)
def two_views():
    """Two inputs, one code, two outputs with losses of their own."""
    widths = {"genes": 1200, "proteins": 120}
    views = {name: keras.Input((width,), name=name) for name, width in widths.items()}
    codes = layers.Concatenate()([layers.Dense(64, "relu")(view) for view in views.values()])
    codes = layers.Dense(64, "relu")(layers.Dense(24)(codes))
    rebuilt_views = {
        "genes": layers.Dense(1200, "softplus", name="genes_out")(codes),
        "proteins": layers.Dense(120, "sigmoid", name="proteins_out")(codes),
    }
    model = keras.Model(views, rebuilt_views)
    losses = {"genes": "mse", "proteins": "mae"}
    model.compile("adam", losses, loss_weights={"genes": 1.0, "proteins": 0.5})
    return model
