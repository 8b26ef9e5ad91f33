"""Set-ups that rebuild the columns of a table: fraud, intrusions, sensors, shares."""

import keras
from keras import layers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import one_hot, rebuilt, standard, swapped, unit
from benchmarks.zoo.set_up import set_up

INTRUSIONS = "JoshuaXu-Wen/Intrusion-Detection"


@set_up(
    "curiousily/Credit-Card-Fraud-Detection-using-Autoencoders-in-Keras",
    rebuilt(standard(29), validation=1 / 4),
    rows=227_451,
    epochs=100,
)
def fraud_curiousily():
    """29-14-7-7-29 with an activity regularizer and accuracy."""
    sparse = keras.regularizers.L1(1e-4)
    inner = [layers.Dense(14, "tanh", activity_regularizer=sparse), layers.Dense(7, "relu")]
    model = sequential(29, inner, dense(7, 29, hidden="tanh", last="relu"))
    model.compile("adam", "mean_squared_error", metrics=["accuracy"])
    return model


@set_up(f"{INTRUSIONS}: NSL-KDD", rebuilt(unit(41)), rows=67_343, epochs=10)
def nsl_kdd():
    """41-32-5-32-41."""
    model = sequential(41, dense(32, 5, 32, 41))
    model.compile("adam", "mse")
    return model


@set_up(f"{INTRUSIONS}: CICIDS2017", rebuilt(unit(78)), rows=1_800_000, epochs=10)
def cicids2017():
    """78-32-10-32-78."""
    model = sequential(78, dense(32, 10, 32, 78))
    model.compile("adam", "mse")
    return model


def _normalised(*widths, share, **options):
    made = []
    for width in widths:
        made += [layers.Dense(width, **options), layers.BatchNormalization()]
        made += [layers.Dropout(share)] if share else []
    return made


@set_up(
    "a public notebook: CSE-CIC-IDS2018, Huber and RobustScaler (width and rows assumed)",
    rebuilt(standard(70)),
    rows=200_000,
    batch_size=512,
    epochs=50,
    drawn=True,
)
def ids_robust():
    """70-64-32-16-32-64-70 with BatchNormalization and Dropout."""
    inner = _normalised(64, 32, 16, 32, 64, share=0.2, activation="relu")
    model = sequential(70, inner, layers.Dense(70))
    model.compile("adam", "huber")
    return model


@set_up(
    "a public notebook: one-hot columns of connections, selu (dense here; rows assumed)",
    rebuilt(one_hot(256, 64, 32, 16, 8, 8, 2)),
    rows=50_000,
    batch_size=256,
    epochs=50,
)
def onehot_adagrad():
    """386-128-32-128-386 by Adagrad, with accuracy."""
    model = sequential(386, dense(128, 32, 128, 386, hidden="selu", last="sigmoid"))
    model.compile("adagrad", "binary_crossentropy", metrics=["accuracy"])
    return model


@set_up(
    "a public notebook: Santander transactions (Kaggle)",
    rebuilt(standard(200), corrupt=swapped(0.1)),
    rows=200_000,
    batch_size=2048,
    epochs=50,
    drawn=True,
)
def two_codes_nadam():
    """200-30-30-15-2-15-15-30-200 with BatchNormalization and Dropout."""
    encoder = _normalised(30, 30, 15, share=0.1, activation="tanh")
    decoder = _normalised(15, 15, 30, share=0.1, activation="tanh")
    model = sequential(200, encoder, layers.Dense(2), decoder, layers.Dense(200))
    model.compile("nadam", "mse")
    return model


@set_up(
    "a public notebook: denoising table (width and rows assumed)",
    rebuilt(unit(64)),
    rows=10_000,
    epochs=50,
    drawn=True,
)
def gaussian_noise():
    """64-128-64-32-64-128-64 behind GaussianNoise."""
    inner = dense(128, 64, 32, 64, 128, 64, last="sigmoid")
    model = sequential(64, layers.GaussianNoise(0.1), inner)
    model.compile("adam", "mse")
    return model


@set_up(
    "a public notebook: widths 3/4, 1/2, 1/4 of the columns (width and rows assumed)",
    rebuilt(unit(24)),
    rows=12_000,
    batch_size=256,
    epochs=50,
)
def shares_of_width():
    """24-18-12-6-12-18-24."""
    model = sequential(24, dense(18, 12, 6, 12, 18, 24))
    model.compile("adam", "mse")
    return model


@set_up(
    "a public notebook: four one-hot rows",
    rebuilt(lambda count, images: keras.utils.to_categorical(range(count), 4)),
    rows=4,
    batch_size=64,
    epochs=1000,
)
def softmax_4_2_4():
    """4-2-4 with softmax and accuracy."""
    model = sequential(4, dense(2, 4, last="softmax"))
    model.compile("nadam", "mse", metrics=["accuracy"])
    return model


@set_up(
    "nitishmishra006/Deep_Portfolio_Theory: 48 shares",
    rebuilt(standard(48)),
    rows=180,
    batch_size=30,
    epochs=500,
)
def deep_portfolio():
    """48-5-48, linear, with weight regularizers, by SGD."""
    small = keras.regularizers.L2(1e-4)
    model = sequential(48, dense(5, 48, hidden="linear", kernel_regularizer=small))
    model.compile("sgd", "mean_squared_error")
    return model


@set_up(
    "a public notebook: 100 portfolios, 648 months",
    rebuilt(standard(648)),
    rows=100,
    epochs=100,
)
def portfolios_100():
    """648-100-648 with a metric."""
    model = sequential(648, dense(100, 648, last="relu"))
    model.compile("adam", "mse", metrics=["mae"])
    return model


@set_up(
    "a common form of credit-card fraud: BatchNormalization, Dropout, early stopping",
    rebuilt(unit(30)),
    rows=199_020,
    batch_size=256,
    epochs=50,
    drawn=True,
    validation_split=0.1,
    callbacks=lambda: [keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)],
)
def fraud_dropout():
    """30-20-10-20-30 and three metrics."""
    inner = _normalised(20, 10, 20, share=0.2, activation="elu")
    model = sequential(30, inner, layers.Dense(30, "sigmoid"))
    metrics = ["mae", keras.metrics.RootMeanSquaredError(), "cosine_similarity"]
    model.compile("adam", "mse", metrics=metrics)
    return model


@set_up(
    "a common form of KDD Cup 1999: one-hot columns, held-out rows, ReduceLROnPlateau",
    rebuilt(one_hot(66, 11, 3, numbers=38)),
    rows=97_278,
    batch_size=512,
    epochs=100,
    validation_split=0.2,
    callbacks=lambda: [keras.callbacks.ReduceLROnPlateau(patience=2)],
)
def kdd99():
    """118-60-30-10-30-60-118 with layers that have no bias."""
    inner = dense(60, 30, 10, 30, 60, 118, last="sigmoid", use_bias=False)
    model = sequential(118, inner)
    model.compile(keras.optimizers.RMSprop(1e-3, momentum=0.5), "mse", metrics=["mae"])
    return model


@set_up(
    "Chitta Ranjan, Build the right Autoencoder (Towards Data Science, 2019)",
    rebuilt(standard(30)),
    rows=20_000,
    epochs=100,
)
def orthogonal_unit_norm():
    """Tied weights of unit norm at right angles."""
    first = layers.Dense(
        16,
        kernel_regularizer=parts.Orthogonal(1.0),
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
    )
    model = sequential(30, first, parts.Transposed(first))
    model.compile("sgd", "mean_squared_error", metrics=["accuracy"])
    return model


@set_up(
    "a common form of self-normalising networks: selu and AlphaDropout",
    rebuilt(standard(50)),
    rows=30_000,
    batch_size=128,
    epochs=50,
    drawn=True,
)
def selu_alpha():
    """50-64-16-64-50."""
    wide, narrow, back = dense(64, 16, 64, hidden="selu", last="selu", **_lecun())
    drops = [layers.AlphaDropout(0.1) for _ in range(2)]
    model = sequential(50, wide, drops[0], narrow, back, drops[1], layers.Dense(50))
    model.compile("adam", "mse")
    return model


def _lecun():
    return {"kernel_initializer": "lecun_normal"}


@set_up(
    "a common form of residual table models: LayerNormalization, gelu, a skip, Lion",
    rebuilt(standard(60)),
    rows=40_000,
    batch_size=256,
    epochs=30,
)
def residual_lion():
    """60-128-16-128-60, the wide layers with a way round them."""
    rows = keras.Input((60,))
    wide = layers.Dense(128, "gelu")(layers.LayerNormalization()(rows))
    wide = layers.Add()([wide, layers.Dense(128, "gelu")(wide)])
    codes = layers.Dense(16)(wide)
    back = layers.Dense(128, "gelu")(layers.LayerNormalization()(codes))
    model = keras.Model(rows, layers.Dense(60)(back))
    model.compile(keras.optimizers.Lion(1e-4), "mse")
    return model


@set_up(
    "a common form: codes on a sphere by a Lambda layer, cosine loss",
    rebuilt(standard(100)),
    rows=30_000,
    batch_size=128,
    epochs=30,
)
def sphere():
    """100-64-8-64-100, the codes divided by their length."""
    length = layers.Lambda(lambda codes: keras.ops.normalize(codes, axis=-1))
    inner = [*dense(64, 8), length, *dense(64, 100)]
    model = sequential(100, inner)
    model.compile("ftrl", "cosine_similarity", metrics=["mse"])
    return model
