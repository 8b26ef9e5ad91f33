"""Tables: transactions, connections, machines, shares."""

import keras
from keras import layers, regularizers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import compiled, dense, stack
from benchmarks.zoo.rows import denoised, one_hot, tabular, weighted
from benchmarks.zoo.set_up import set_up

IDS = "JoshuaXu-Wen/Intrusion-Detection"
L1 = regularizers.L1


@set_up(
    "curiousily/Credit-Card-Fraud-Detection-using-Autoencoders-in-Keras",
    tabular(29, "standardized"),
    227_451,
    32,
    100,
)
def fraud_curiousily():
    code = layers.Dense(14, "tanh", activity_regularizer=L1(1e-4))
    made = [code, *dense(7, 7, last="tanh"), layers.Dense(29, "relu")]
    return compiled(stack(29, *made), "adam", "mean_squared_error", metrics=["accuracy"])


@set_up(f"{IDS}: NSL-KDD", tabular(41), 67_343, 32, 20)
def nsl_kdd():
    return compiled(stack(41, *dense(32, 5, 32, 41)))


@set_up(f"{IDS}: CICIDS2017", tabular(78), 1_800_000, 32, 10)
def cicids2017():
    return compiled(stack(78, *dense(32, 10, 32, 78)))


def _blocks(widths, rate, activation=None):
    for width in widths:
        yield layers.Dense(width, activation)
        yield layers.BatchNormalization()
        if activation is None:
            yield layers.LeakyReLU()
        yield layers.Dropout(rate)


@set_up("a public notebook: CSE-CIC-IDS2018, Huber", tabular(70), 200_000, 512, 50, True)
def ids_robust():
    made = [
        *_blocks((64, 32), 0.2, "relu"),
        layers.Dense(16, "relu"),
        *_blocks((32, 64), 0.2, "relu"),
    ]
    return compiled(stack(70, *made, layers.Dense(70)), "adam", "huber")


@set_up("a public notebook: one-hot columns of connections", one_hot(386), 50_000, 256, 20)
def onehot_adagrad():
    made = dense(128, 32, 128, 386, activation="selu", last="sigmoid")
    return compiled(stack(386, *made), "adagrad", "binary_crossentropy", metrics=["accuracy"])


@set_up("rtaormina/aeed: BATADAL water network", tabular(43), 5_840, 32, 50)
def batadal():
    made = dense(34, 25, 17, 25, 34, 43, activation="tanh", last="tanh")
    return compiled(stack(43, *made), "adam", "mean_squared_error")


@set_up("yoongi43/Anomaly-Detection: bearings, an l2 of 0", tabular(4), 786, 10, 100)
def bearing_l2_zero():
    first = layers.Dense(10, "elu", kernel_regularizer=regularizers.L2(0.0))
    return compiled(stack(4, first, *dense(2, 10, 4, activation="elu")), "adam", "mse")


@set_up("studylib, Anomaly Detection with Autoencoder: bearings", tabular(4), 786, 10, 100)
def bearing_leaky():
    hidden = [part for width in (3, 2, 3) for part in (layers.Dense(width), layers.LeakyReLU())]
    return compiled(stack(4, *hidden, layers.Dense(4)), "adam", "mse", metrics=["mae"])


@set_up(
    "a public notebook: Santander transactions",
    denoised(tabular(200, "standardized"), 0.1),
    200_000,
    2048,
    40,
    True,
)
def two_codes_nadam():
    made = []
    for width in (30, 30, 15, 2, 15, 15, 30):
        made += [layers.Dense(width, "tanh"), layers.BatchNormalization()]
    made.insert(2, layers.Dropout(0.1))
    return compiled(stack(200, *made, layers.Dense(200)), "nadam", "mse")


@set_up("a public notebook: audio features, AdamW", tabular(60, "standardized"), 800, 64, 200, True)
def features_adamw():
    made = _blocks((512, 256, 128, 64, 128, 256, 512), 0.2)
    return compiled(stack(60, *made, layers.Dense(60)), "adamw", "mse")


@set_up("a public notebook: denoising table", tabular(64), 10_000, 32, 50, True)
def gaussian_noise():
    made = [layers.GaussianNoise(0.1), *dense(128, 64, 32, 64, 128, 64, last="sigmoid")]
    return compiled(stack(64, *made))


@set_up("a public notebook: 3/4, 1/2 and 1/4 of the columns", tabular(24), 12_000, 256, 30)
def shares_of_width():
    return compiled(stack(24, *dense(18, 12, 6, 12, 18, 24)))


def _four_rows(count):
    import numpy as np

    return {"x": np.eye(4, dtype="float32"), "y": np.eye(4, dtype="float32")}


@set_up("a public notebook: four one-hot rows", _four_rows, 4, 64, 1000)
def softmax_4_2_4():
    made = dense(2, 4, last="softmax")
    return compiled(stack(4, *made), "nadam", "mse", metrics=["accuracy"])


@set_up(
    "nitishmishra006/Deep_Portfolio_Theory: 48 shares", tabular(48, "standardized"), 180, 30, 500
)
def deep_portfolio():
    made = dense(5, 48, activation="linear", kernel_regularizer=regularizers.L2(0.01))
    return compiled(stack(48, *made), keras.optimizers.SGD(0.01), "mean_squared_error")


@set_up("a public notebook: 100 portfolios, 648 months", tabular(648), 100, 32, 100)
def portfolios_100():
    return compiled(stack(648, *dense(100, 648, last="relu")), "adam", "mse", metrics=["mse"])


def _of_categories(count):
    import numpy as np

    rng = np.random.default_rng(0)
    table = tabular(20)(count)["x"]
    kinds = [rng.integers(0, size, count).astype("int32") for size in (12, 30)]
    return {"x": [table, *kinds], "y": table}


@set_up("a common form: numbers and embedded categories", _of_categories, 30_000, 256, 30)
def embedded_categories():
    rows = keras.Input((20,))
    kinds = [keras.Input((), dtype="int32") for _ in range(2)]
    codes = [layers.Embedding(size, 4)(kind) for size, kind in zip((12, 30), kinds, strict=True)]
    hidden = layers.Dense(32, "relu")(layers.Concatenate()([rows, *codes]))
    hidden = layers.Dense(32, "relu")(layers.Dense(6, "relu")(hidden))
    return compiled(keras.Model([rows, *kinds], layers.Dense(20)(hidden)))


@set_up(
    "a common form: fraud, weighted rows and clipped gradients",
    weighted(tabular(30)),
    50_000,
    128,
    50,
)
def fraud_weighted():
    made = dense(16, 8, 16, 30, last="sigmoid")
    return compiled(stack(30, *made), keras.optimizers.Adam(1e-3, clipnorm=1.0), "mae")


@set_up("a common form: unit-norm and orthogonal kernels", tabular(30), 20_000, 64, 30)
def orthogonal_codes():
    first = layers.Dense(
        8,
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        kernel_regularizer=regularizers.OrthogonalRegularizer(0.01, mode="columns"),
        activity_regularizer=parts.Uncorrelated(0.1),
    )
    return compiled(stack(30, first, layers.Dense(30)), "sgd", "mse")


@set_up("a common form: selu with AlphaDropout", tabular(40, "standardized"), 20_000, 128, 30, True)
def alpha_dropout():
    settings = {"activation": "selu", "kernel_initializer": "lecun_normal"}
    made = [layers.AlphaDropout(0.05), *dense(32, 8, 32, 40, **settings)]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(1e-3, 500, 0.9))
    return compiled(stack(40, *made), optimizer, "log_cosh")


@set_up("a common form: LayerNormalization and PReLU", tabular(50, "standardized"), 20_000, 256, 30)
def layer_normalised():
    hidden = []
    for width in (64, 16, 64):
        hidden += [layers.Dense(width), layers.LayerNormalization(), layers.PReLU()]
    optimizer = keras.optimizers.Lion(1e-4, weight_decay=1e-4)
    return compiled(stack(50, *hidden, layers.Dense(50)), optimizer, "mse", metrics=["mae"])


def _validated():
    return [
        keras.callbacks.EarlyStopping(patience=100, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(patience=5),
    ]


@set_up(
    "a common form: early stopping on held-out rows",
    tabular(36),
    20_000,
    128,
    100,
    validation_split=0.2,
    callbacks=_validated,
)
def early_stopping():
    metrics = ["mae", keras.metrics.RootMeanSquaredError(), "cosine_similarity"]
    return compiled(stack(36, *dense(24, 8, 24, 36)), "rmsprop", "mse", metrics=metrics)


@set_up("a common form: skip connections", tabular(32, "standardized"), 20_000, 128, 30)
def with_skips():
    rows = keras.Input((32,))
    wide = layers.Dense(64, "gelu")(rows)
    code = layers.Dense(8)(wide)
    back = layers.Add()([layers.Dense(64, "gelu")(code), wide])
    return compiled(keras.Model(rows, layers.Dense(32)(back)), "adam", "mse")


@set_up("a common form: a loss and a metric of one's own", tabular(28), 20_000, 64, 30)
def own_loss_and_metric():
    made = dense(14, 7, 14, 28, last="sigmoid")
    return compiled(stack(28, *made), "ftrl", parts.squared_root, metrics=[parts.rounded_accuracy])


def _normalization():
    layer = layers.Normalization()
    layer.adapt(tabular(26, "standardized")(2000)["x"] * 3 + 5)
    return layer


@set_up("a common form: an adapted Normalization in front", tabular(26), 20_000, 256, 30)
def normalised_inside():
    return compiled(stack(26, _normalization(), *dense(16, 4, 16, 26)), "adadelta", "mae")
