"""Images, most of them MNIST's; where a source has Fashion-MNIST, MNIST stands for it."""

import keras
from keras import layers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import Autoencoder, KLSparsity, Transposed, compiled, dense, stack
from benchmarks.zoo.rows import images
from benchmarks.zoo.set_up import set_up

BLOG = "Keras blog, Building Autoencoders in Keras (2016)"
GERON = "ageron/handson-ml3, ch. 17 (Fashion-MNIST there)"
SQUARE = (28, 28)


@set_up(f"{BLOG}: simple, now with Adam", images(), 60_000, 256)
def keras_blog_simple():
    return compiled(stack(784, *dense(32, 784, last="sigmoid")), "adam", "binary_crossentropy")


@set_up(f"{BLOG}: sparse", images(), 60_000, 256, 100)
def keras_blog_sparse():
    code = layers.Dense(32, "relu", activity_regularizer=keras.regularizers.L1(1e-5))
    return compiled(stack(784, code, layers.Dense(784, "sigmoid")), "adam", "binary_crossentropy")


@set_up(f"{BLOG}: deep", images(), 60_000, 256, 100)
def keras_blog_deep():
    made = dense(128, 64, 32, 64, 128, 784, last="sigmoid")
    return compiled(stack(784, *made), "adam", "binary_crossentropy")


@set_up("tensorflow/docs, tutorials/generative/autoencoder", images(784, SQUARE), 60_000, 32, 10)
def tf_tutorial_basic():
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(64, "relu")])
    decoder = keras.Sequential([layers.Dense(784, "sigmoid"), layers.Reshape(SQUARE)])
    return compiled(Autoencoder(encoder, decoder), "adam", keras.losses.MeanSquaredError())


def _geron(*encoder, decoder=None):
    decoder = decoder or dense(100, 784)
    encoder = stack(SQUARE, layers.Flatten(), *encoder)
    decoder = keras.Sequential([*decoder, layers.Reshape(SQUARE)])
    return compiled(keras.Sequential([encoder, decoder]), "nadam", "mse")


@set_up(f"{GERON}: stacked", images(784, SQUARE), 55_000, 32, 20)
def geron3_stacked():
    return _geron(*dense(100, 30, last="relu"))


@set_up(f"{GERON}: tied weights", images(784, SQUARE), 55_000, 32, 10)
def geron3_tied():
    first, second = dense(100, 30, last="relu")
    model = stack(SQUARE, layers.Flatten(), first, second)
    for layer in (Transposed(second, "relu"), Transposed(first), layers.Reshape(SQUARE)):
        model.add(layer)
    return compiled(model, "nadam", "mse")


@set_up(f"{GERON}: denoising by Dropout", images(784, SQUARE), 55_000, 32, 10, drawn=True)
def geron3_dropout():
    return _geron(layers.Dropout(0.5), *dense(100, 30, last="relu"))


@set_up(f"{GERON}: sparse by ActivityRegularization", images(784, SQUARE), 55_000, 32, 10)
def geron3_sparse_l1():
    return _geron(*dense(100, 300, last="sigmoid"), layers.ActivityRegularization(l1=1e-4))


@set_up(f"{GERON}: sparse by a divergence", images(784, SQUARE), 55_000, 32, 10)
def geron3_sparse_kl():
    code = layers.Dense(300, "sigmoid", activity_regularizer=KLSparsity(5e-3))
    return _geron(layers.Dense(100, "relu"), code)


@set_up(
    "PacktPublishing/Neural-Network-Projects-with-Python, ch. 5", images(noise=0.5), 60_000, 32, 10
)
def packt_denoise():
    return compiled(stack(784, *dense(16, 784, last="sigmoid")), "adam", "mean_squared_error")


@set_up(
    "PacktPublishing/Deep-Learning-with-TensorFlow-2-and-Keras, ch. 9",
    images(noise=0.5),
    60_000,
    256,
)
def packt_tf2_denoise():
    halves = [keras.Sequential(dense(width, last="relu")) for width in (128, 784)]
    return compiled(Autoencoder(*halves), "adam", "mse")


@set_up("jeffheaton/t81_558_deep_learning, class 14.2: one image", images(49152), 1, 32, 20)
def heaton_one_image():
    return compiled(stack(49152, *dense(10, 49152)), "adam", "mean_squared_error")


WIDE = (500, 500, 2000, 10, 2000, 500, 500, 784)


def _clustered():
    return [
        layers.Dense(width, None if width in (10, 784) else "relu", name=f"dense_{number}")
        for number, width in enumerate(WIDE)
    ]


@set_up("XifengGuo/DEC-keras: pretraining", images(), 70_000, 256, 300)
def dec_pretrain():
    optimizer = keras.optimizers.SGD(1.0, momentum=0.9)
    return compiled(stack(784, *_clustered()), optimizer, "mse")


def _with_clusters(count):
    import numpy as np

    rows = images()(count)
    of_classes = np.random.default_rng(1).dirichlet(np.ones(10), count).astype("float32")
    return {"x": rows["x"], "y": [of_classes, rows["x"]]}


@set_up("XifengGuo/IDEC: clustering head and reconstruction", _with_clusters, 70_000, 256, 10)
def idec():
    rows = keras.Input((784,))
    codes = rebuilt = rows
    for number, layer in enumerate(_clustered()):
        rebuilt = layer(rebuilt)
        codes = rebuilt if number == 3 else codes
    model = keras.Model(rows, [parts.Clusters(10, name="clusters")(codes), rebuilt])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.99)
    model.compile(optimizer, ["kl_divergence", "mse"], loss_weights=[0.1, 1.0])
    return model


@set_up(
    "a public notebook: denoising with Flatten and Reshape",
    images(784, SQUARE, 0.3),
    60_000,
    128,
    20,
)
def flat_denoise():
    made = dense(128, 64, 64, 128, 784, last="sigmoid")
    model = stack(SQUARE, layers.Flatten(), *made, layers.Reshape(SQUARE))
    return compiled(model, "adam", "binary_crossentropy")


@set_up(
    "Coursera, Introduction to Deep Learning (HSE), week 4",
    images(3072, (32, 32, 3)),
    11_828,
    32,
    15,
)
def faces_pca():
    encoder = stack((32, 32, 3), layers.Flatten(), layers.Dense(32))
    decoder = stack(32, layers.Dense(3072), layers.Reshape((32, 32, 3)))
    rows = keras.Input((32, 32, 3))
    return compiled(keras.Model(rows, decoder(encoder(rows))), "adamax", "mse")


@set_up("a public notebook: three codes to plot", images(), 60_000, 256, 20)
def mnist_3_codes():
    return compiled(
        stack(784, *dense(3, 784, activation="tanh")), keras.optimizers.SGD(0.01), "mse"
    )


@set_up("a public notebook: 24 x 24 maps", images(576, (24, 24)), 5_000, 32, 50)
def grid_rmsprop():
    made = [
        layers.Flatten(),
        layers.Dense(9),
        layers.Dense(576, "sigmoid"),
        layers.Reshape((24, 24)),
    ]
    return compiled(stack((24, 24), *made), "rmsprop", "mean_squared_error")


def _rows_alone(count):
    return {"x": images()(count)["x"]}


@set_up("keras.io, Variational AutoEncoder, with dense layers", _rows_alone, 60_000, 128, 30, True)
def keras_io_variational():
    model = parts.Variational(784, 256, 2)
    model.compile(keras.optimizers.Adam())
    return model


@set_up("a common form: variational by a layer that adds its loss", images(), 60_000, 128, 30, True)
def variational_by_layer():
    rows = keras.Input((784,))
    hidden = layers.Dense(256, "relu")(rows)
    codes = parts.Sampling(0.01)([layers.Dense(2)(hidden), layers.Dense(2)(hidden)])
    rebuilt = layers.Dense(784, "sigmoid")(layers.Dense(256, "relu")(codes))
    return compiled(keras.Model(rows, rebuilt), "adam", "binary_crossentropy")


@set_up("a common form: wide, with Dropout", images(), 60_000, 128, 20, True)
def wide_dropout():
    made = [layers.Dense(1000, "relu"), layers.Dropout(0.3), layers.Dense(784, "sigmoid")]
    return compiled(stack(784, *made), "adam", "binary_crossentropy")
