"""Set-ups that rebuild ratings."""

import keras
import numpy as np
from keras import layers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import ratings, rebuilt
from benchmarks.zoo.set_up import set_up


def _with_users(count, images):
    """Who rated, and what."""
    rows = ratings(1682, binary=True)(count, images)
    return {"x": {"rows": rows, "user": np.arange(count)[:, None] % 943}, "y": rows}


@set_up(
    "henry0312/CDAE: MovieLens-100k", _with_users, rows=943, batch_size=128, epochs=50, drawn=True
)
def cdae():
    """1682-50-1682 with Dropout, and an Embedding of the user added to the codes."""
    small = keras.regularizers.L2(1e-3)
    rows, user = keras.Input((1682,), name="rows"), keras.Input((1,), name="user", dtype="int32")
    codes = layers.Dense(50, kernel_regularizer=small)(layers.Dropout(0.5)(rows))
    of_user = layers.Flatten()(layers.Embedding(943, 50, embeddings_regularizer=small)(user))
    codes = layers.Activation("relu")(layers.Add()([codes, of_user]))
    rebuilt_rows = layers.Dense(1682, "sigmoid", kernel_regularizer=small)(codes)
    model = keras.Model({"rows": rows, "user": user}, rebuilt_rows)
    model.compile("adam", "mean_absolute_error")
    return model


@set_up("supkoon/AutoRec-tf: MovieLens-1M by item", rebuilt(ratings(6040)), rows=3335, epochs=50)
def autorec():
    """6040-300-100-300-6040, a subclass, with a loss and a metric of what was rated."""
    small = keras.regularizers.L2(1e-3)
    halves = dense(300, 100, last="relu", kernel_regularizer=small), dense(300, 6040)
    model = parts.EncoderDecoder(*map(keras.Sequential, halves))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, parts.masked_mse, metrics=[parts.masked_rmse])
    return model


@set_up(
    "Liang et al., Variational Autoencoders for Collaborative Filtering (2018): Mult-DAE, at "
    "MovieLens-1M's width",
    rebuilt(ratings(3706, binary=True)),
    rows=6040,
    batch_size=500,
    epochs=200,
    drawn=True,
)
def mult_dae():
    """3706-200-3706 of rows of length 1 with Dropout, a multinomial loss of logits."""
    inner = [layers.UnitNormalization(), layers.Dropout(0.5), *dense(200, 3706, hidden="tanh")]
    model = sequential(3706, inner)
    model.compile("adam", parts.multinomial)
    return model


def _with_weights(count, images):
    """Ratings from 0 to 1, users weighed by how much they rated."""
    rows = ratings(1682)(count, images) / 5
    weights = (rows > 0).sum(1).astype(np.float32)
    return {"x": rows, "y": rows, "sample_weight": weights / weights.mean()}


@set_up(
    "a common form of weighted recommenders: sample_weight by a user's activity",
    _with_weights,
    rows=943,
    epochs=50,
)
def weighted_users():
    """1682-128-32-128-1682."""
    model = sequential(1682, dense(128, 32, 128, 1682, hidden="selu", last="sigmoid"))
    model.compile("adam", "mse", weighted_metrics=["mae"])
    return model
