"""Signals, recommenders and genes."""

import keras
from keras import layers, regularizers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import Autoencoder, compiled, dense, stack
from benchmarks.zoo.rows import counts, ratings, windows
from benchmarks.zoo.set_up import set_up


@set_up(
    "mlcommons/tiny, anomaly_detection (DCASE 2020 task 2)", windows(5, 128), 1_344_000, 512, 100
)
def toycar():
    made = []
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        made += [layers.Dense(width), layers.BatchNormalization(), layers.Activation("relu")]
    return compiled(stack(640, *made, layers.Dense(640)), "adam", "mean_squared_error")


@set_up("tensorflow/docs, tutorials/generative/autoencoder: ECG", windows(140), 2_359, 512, 20)
def ecg_subclass():
    encoder = keras.Sequential(dense(32, 16, 8, last="relu"))
    decoder = keras.Sequential(dense(16, 32, 140, last="sigmoid"))
    return compiled(Autoencoder(encoder, decoder), "adam", "mae")


@set_up("a public notebook: ECG5000, continuous signal", windows(140), 500, 32, 50)
def ecg_tanh():
    return compiled(stack(140, *dense(16, 140, activation="tanh", last="tanh")), "adam", "mae")


def _one_channel(count):
    rows = windows(288)(count)["x"].reshape(count, 288, 1)
    return {"x": rows, "y": rows}


@set_up("keras.io, Timeseries anomaly detection, with dense layers", _one_channel, 3_745, 128, 50)
def timeseries_dense():
    made = [layers.Reshape((288,)), *dense(128, 32, 128, 288)]
    return compiled(stack((288, 1), *made, layers.Reshape((288, 1))), keras.optimizers.Adam(1e-3))


@set_up("supkoon/AutoRec-tf: MovieLens-1M by item", ratings(6040), 3_335, 32, 100)
def autorec():
    made = dense(300, 100, 300, 6040, kernel_regularizer=regularizers.L2(0.001))
    halves = keras.Sequential(made[:2]), keras.Sequential(made[2:])
    optimizer = keras.optimizers.SGD(0.01)
    return compiled(Autoencoder(*halves), optimizer, parts.masked_mse, metrics=[parts.masked_rmse])


def _of_users(count):
    import numpy as np

    users = np.arange(count, dtype="int32").reshape(-1, 1)
    liked = (ratings(1682)(count)["x"] > 0).astype("float32")
    return {"x": [liked, users], "y": liked}


@set_up("henry0312/CDAE: MovieLens-100k", _of_users, 943, 128, 1000, True)
def cdae():
    items, user = keras.Input((1682,)), keras.Input((1,), dtype="int32")
    settings = {"kernel_regularizer": regularizers.L2(0.001)}
    hidden = layers.Dense(50, **settings)(layers.Dropout(0.8)(items))
    of_user = layers.Flatten()(layers.Embedding(943, 50)(user))
    codes = layers.Activation("relu")(layers.Add()([hidden, of_user]))
    model = keras.Model([items, user], layers.Dense(1682, "sigmoid", **settings)(codes))
    return compiled(model, "adam", "mean_absolute_error")


def _of_genes(count):
    rows = counts(2012, scaled=True)(count)["x"]
    return {"x": rows[:, :1500], "y": rows[:, 1500:]}


@set_up("lanagarmire/deepimpute: one sub-network of 512 genes", _of_genes, 2_700, 64, 100, True)
def deepimpute():
    made = [layers.Dense(256, "relu"), layers.Dropout(0.2), layers.Dense(512, "softplus")]
    return compiled(stack(1500, *made), keras.optimizers.Adam(1e-4), parts.weighted_mse)


@set_up("theislab/dca: counts, of Poisson's distribution", counts(1000), 3_000, 32, 100)
def dca_poisson():
    hidden = []
    for width in (64, 32, 64):
        hidden += [
            layers.Dense(width, kernel_initializer="glorot_uniform"),
            layers.BatchNormalization(center=True, scale=False),
            layers.Activation("relu"),
        ]
    made = [layers.Lambda(keras.ops.log1p), *hidden, layers.Dense(1000, "exponential")]
    optimizer = keras.optimizers.RMSprop(1e-3, clipvalue=5.0)
    return compiled(stack(1000, *made), optimizer, "poisson")
