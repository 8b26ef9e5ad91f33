"""Set-ups that rebuild windows of signals, and features of them."""

import keras
from keras import layers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import rebuilt, standard, unit, waves
from benchmarks.zoo.set_up import set_up


@set_up(
    "a public notebook: ECG5000, continuous signal (number of rows assumed)",
    rebuilt(waves(140)),
    rows=500,
    epochs=50,
)
def ecg_tanh():
    """140-16-140."""
    model = sequential(140, dense(16, 140, hidden="tanh", last="tanh"))
    model.compile("adam", "mae")
    return model


@set_up(
    "tensorflow/docs, tutorials/generative/autoencoder: ECG",
    rebuilt(waves(140), validation=0.4),
    rows=2359,
    batch_size=512,
    epochs=20,
)
def ecg_subclass():
    """A subclass of two Sequentials, 140-32-16-8-16-32-140."""
    halves = dense(32, 16, 8, last="relu"), dense(16, 32, 140, last="sigmoid")
    model = parts.EncoderDecoder(*map(keras.Sequential, halves))
    model.compile("adam", "mae")
    return model


def _stopping(**options):
    return keras.callbacks.EarlyStopping(min_delta=1e-4, **options)


@set_up(
    "rtaormina/aeed: BATADAL water network",
    rebuilt(unit(43), validation=0.5),
    rows=5840,
    epochs=500,
    callbacks=lambda: [
        _stopping(patience=3),
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=1e-4),
    ],
)
def batadal():
    """43-34-25-17-25-34-43, tanh throughout, stopped early."""
    model = sequential(43, dense(34, 25, 17, 25, 34, 43, hidden="tanh", last="tanh"))
    model.compile("adam", "mean_squared_error")
    return model


@set_up(
    "yoongi43/Anomaly-Detection, after a Towards Data Science article: bearings",
    rebuilt(unit(4)),
    rows=786,
    batch_size=10,
    epochs=100,
    validation_split=0.05,
)
def bearing_l2_zero():
    """4-10-2-10-4 with a weight regularizer of 0."""
    first = layers.Dense(10, "elu", kernel_regularizer=keras.regularizers.L2(0.0))
    model = sequential(4, first, dense(2, 10, 4, hidden="elu"))
    model.compile("adam", "mse")
    return model


@set_up(
    "studylib, Anomaly Detection with Autoencoder: bearings, dense",
    rebuilt(unit(4)),
    rows=786,
    batch_size=10,
    epochs=100,
)
def bearing_leaky():
    """4-3-2-3-4 with LeakyReLU."""
    widths = 3, 2, 3
    inner = [part for width in widths for part in (layers.Dense(width), layers.LeakyReLU())]
    model = sequential(4, inner, layers.Dense(4))
    model.compile("adam", "mse", metrics=["mae"])
    return model


@set_up(
    "mlcommons/tiny, anomaly_detection (DCASE 2020 task 2 baseline)",
    rebuilt(standard(640)),
    rows=1_344_000,
    batch_size=512,
    epochs=100,
    validation_split=0.1,
)
def toycar():
    """640-128-128-128-128-8 and back, each with BatchNormalization."""
    inner = []
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        inner += [layers.Dense(width), layers.BatchNormalization(), layers.Activation("relu")]
    model = sequential(640, inner, layers.Dense(640))
    model.compile("adam", "mean_squared_error")
    return model


@set_up(
    "a public notebook: audio features, AdamW (width and rows assumed)",
    rebuilt(standard(60)),
    rows=800,
    batch_size=64,
    epochs=100,
    drawn=True,
)
def features_adamw():
    """60-512-256-128-64-128-256-512-60 with LeakyReLU, BatchNormalization and Dropout."""
    inner = []
    for width in (512, 256, 128, 64, 128, 256, 512):
        inner += [layers.Dense(width), layers.LeakyReLU(), layers.BatchNormalization()]
        inner += [layers.Dropout(0.2)]
    model = sequential(60, inner, layers.Dense(60))
    model.compile("adamw", "mse")
    return model


@set_up(
    "keras.io, Timeseries anomaly detection using an Autoencoder, dense for its convolutions",
    rebuilt(lambda count, images: waves(288)(count, images)[..., None]),
    rows=3745,
    batch_size=128,
    epochs=50,
    drawn=True,
    validation_split=0.1,
    callbacks=lambda: [keras.callbacks.EarlyStopping("val_loss", patience=5, mode="min")],
)
def keras_timeseries():
    """Windows of 288 values, 288-64-16-64-288 with Dropout."""
    wide, narrow, back = dense(64, 16, 64, last="relu")
    inner = [layers.Flatten(), wide, layers.Dropout(0.2), narrow, layers.Dropout(0.2), back]
    model = sequential((288, 1), inner, layers.Dense(288), layers.Reshape((288, 1)))
    model.compile(keras.optimizers.Adam(0.001), "mse")
    return model


@set_up(
    "a common form of predictive maintenance: clipped gradients, a falling learning rate",
    rebuilt(standard(52), validation=0.25),
    rows=25_000,
    batch_size=64,
    epochs=40,
)
def clipped_schedule():
    """52-32-8-32-52, its rate falling by half every 1,000 steps."""
    model = sequential(52, dense(32, 8, 32, 52, hidden="swish"))
    rate = keras.optimizers.schedules.ExponentialDecay(1e-3, 1000, 0.5)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "log_cosh")
    return model


def _worst(targets, rebuilt_rows):
    return keras.ops.max(keras.ops.abs(targets - rebuilt_rows), axis=-1)


@set_up(
    "a common form of vibration spectra: metrics of many kinds, one of one's own",
    rebuilt(unit(256)),
    rows=10_000,
    batch_size=100,
    epochs=60,
    validation_split=0.15,
)
def many_metrics():
    """256-64-16-64-256, five metrics."""
    model = sequential(256, dense(64, 16, 64, 256, last="sigmoid"))
    named = [keras.metrics.RootMeanSquaredError(), keras.metrics.CosineSimilarity()]
    model.compile("adamax", "mse", metrics=["mae", "accuracy", *named, _worst])
    return model
