"""Set-ups that rebuild images."""

import keras
from keras import layers

from benchmarks.zoo import parts
from benchmarks.zoo.parts import dense, sequential
from benchmarks.zoo.rows import noisy, pixels, rebuilt
from benchmarks.zoo.set_up import set_up

KERAS_BLOG = "Keras blog, Building Autoencoders in Keras"
GERON = "ageron/handson-ml3, ch. 17"
FLAT = rebuilt(pixels(784), validation=1 / 6)
SQUARE = rebuilt(pixels(shape=(28, 28)), validation=1 / 11)


@set_up(f"{KERAS_BLOG}: the first, now with Adam", FLAT, rows=60_000, batch_size=256, epochs=50)
def keras_blog_simple():
    """784-32-784."""
    model = sequential(784, dense(32, 784, last="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    return model


@set_up(f"{KERAS_BLOG}: sparse", FLAT, rows=60_000, batch_size=256, epochs=100)
def keras_blog_sparse():
    """784-32-784, its codes held near 0 by an activity regularizer."""
    codes = layers.Dense(32, "relu", activity_regularizer=keras.regularizers.L1(1e-4))
    model = sequential(784, codes, layers.Dense(784, "sigmoid"))
    model.compile("adam", "binary_crossentropy")
    return model


@set_up(f"{KERAS_BLOG}: deep", FLAT, rows=60_000, batch_size=256, epochs=100)
def keras_blog_deep():
    """784-128-64-32-64-128-784."""
    model = sequential(784, dense(128, 64, 32, 64, 128, 784, last="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    return model


@set_up(
    "tensorflow/docs, tutorials/generative/autoencoder: the first",
    rebuilt(pixels(shape=(28, 28)), validation=1 / 6),
    rows=60_000,
    epochs=10,
)
def tf_tutorial_basic():
    """A subclass of two Sequentials, 784-64-784."""
    model = parts.EncoderDecoder(
        keras.Sequential([layers.Flatten(), layers.Dense(64, "relu")]),
        keras.Sequential([layers.Dense(784, "sigmoid"), layers.Reshape((28, 28))]),
    )
    model.compile("adam", keras.losses.MeanSquaredError())
    return model


@set_up(f"{GERON}: stacked", SQUARE, rows=55_000, epochs=20)
def geron3_stacked():
    """784-100-30-100-784, an encoder and a decoder in a Sequential."""
    encoder = keras.Sequential([layers.Flatten(), *dense(100, 30, last="relu")])
    decoder = keras.Sequential([*dense(100, 784), layers.Reshape((28, 28))])
    model = sequential((28, 28), encoder, decoder)
    model.compile("nadam", "mse")
    return model


@set_up(f"{GERON}: tied weights", SQUARE, rows=55_000, epochs=10)
def geron3_tied():
    """784-100-30-100-784, the decoder with the encoder's kernels transposed."""
    first, second = layers.Dense(100, "relu"), layers.Dense(30, "relu")
    back = [parts.Transposed(second, "relu"), parts.Transposed(first)]
    model = sequential((28, 28), layers.Flatten(), first, second, back, layers.Reshape((28, 28)))
    model.compile("nadam", "mse")
    return model


@set_up(f"{GERON}: denoising by Dropout", SQUARE, rows=55_000, epochs=10, drawn=True)
def geron3_dropout():
    """784-100-30-100-784, half of the pixels dropped."""
    inner = dense(100, 30, 100, 784)
    model = sequential(
        (28, 28), layers.Flatten(), layers.Dropout(0.5), inner, layers.Reshape((28, 28))
    )
    model.compile("nadam", "mse")
    return model


@set_up(f"{GERON}: sparse by ActivityRegularization", SQUARE, rows=55_000, epochs=10)
def geron3_sparse_l1():
    """300 sigmoid codes with an L1 penalty in a layer of its own."""
    encoder = [layers.Flatten(), *dense(100, 300, last="sigmoid")]
    sparse = layers.ActivityRegularization(l1=1e-4)
    model = sequential((28, 28), encoder, sparse, dense(100, 784), layers.Reshape((28, 28)))
    model.compile("nadam", "mse")
    return model


@set_up(f"{GERON}: sparse by KL divergence", SQUARE, rows=55_000, epochs=10)
def geron3_sparse_kl():
    """300 sigmoid codes with an activity regularizer of one's own."""
    codes = layers.Dense(300, "sigmoid", activity_regularizer=parts.Sparse(5e-3, 0.1))
    encoder = [layers.Flatten(), layers.Dense(100, "relu"), codes]
    model = sequential((28, 28), encoder, dense(100, 784), layers.Reshape((28, 28)))
    model.compile("nadam", "mse")
    return model


@set_up(
    "PacktPublishing/Neural-Network-Projects-with-Python, ch. 5: denoising",
    rebuilt(pixels(784), corrupt=noisy(0.5)),
    rows=60_000,
    epochs=10,
)
def packt_denoise():
    """784-16-784 of noisy images."""
    model = sequential(784, dense(16, 784, last="sigmoid"))
    model.compile("adam", "mean_squared_error")
    return model


@set_up(
    "PacktPublishing/Deep-Learning-with-TensorFlow-2-and-Keras, ch. 9: denoising",
    rebuilt(pixels(784), validation=1 / 6, corrupt=noisy(0.5)),
    rows=60_000,
    batch_size=256,
    epochs=50,
)
def packt_tf2_denoise():
    """A subclass of two layers of one's own."""
    model = parts.EncoderDecoder(parts.Half(128, 128), parts.Half(128, 784))
    model.compile("adam", "mse")
    return model


@set_up(
    "jeffheaton/t81_558_deep_learning, class 14.2: one image",
    rebuilt(pixels(49_152)),
    rows=1,
    epochs=20,
)
def heaton_one_image():
    """49152-10-49152 of a single row."""
    model = sequential(49_152, dense(10, 49_152))
    model.compile("adam", "mean_squared_error")
    return model


@set_up(
    "XifengGuo/DEC-keras: pretraining",
    rebuilt(pixels(784)),
    rows=70_000,
    batch_size=256,
    epochs=300,
)
def dec_pretrain():
    """784-500-500-2000-10 and back, by SGD of rate 1 with momentum."""
    model = sequential(784, _deep_embedding())
    model.compile(keras.optimizers.SGD(1.0, momentum=0.9), "mse")
    return model


def _deep_embedding():
    start = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    encoder = dense(500, 500, 2000, 10, kernel_initializer=start)
    return [*encoder, *dense(2000, 500, 500, 784, kernel_initializer=start)]


def _with_clusters(count, images):
    """Images, and shares of ten clusters that were to be met."""
    rows = pixels(784)(count, images)
    return {"x": rows, "y": {"clusters": rows[:, 400:410] + 0.1, "rebuilt": rows}}


@set_up(
    "XifengGuo/IDEC: clustering head and reconstruction",
    _with_clusters,
    rows=70_000,
    batch_size=256,
    epochs=20,
)
def idec():
    """Two outputs: soft clusters of the codes, and the reconstruction."""
    rows = keras.Input((784,))
    tensors = [rows]
    for layer in _deep_embedding():
        tensors.append(layer(tensors[-1]))
    rebuilt_rows = layers.Identity(name="rebuilt")(tensors[-1])
    clusters = parts.Clusters(10, name="clusters")(tensors[4])
    model = keras.Model(rows, {"clusters": clusters, "rebuilt": rebuilt_rows})
    losses = {"clusters": "kl_divergence", "rebuilt": "mse"}
    weights = {"clusters": 0.1, "rebuilt": 1.0}
    model.compile(keras.optimizers.SGD(0.1, momentum=0.99), losses, loss_weights=weights)
    return model


@set_up(
    "a public notebook: denoising with Flatten and Reshape",
    rebuilt(pixels(shape=(28, 28, 1)), corrupt=noisy(0.2)),
    rows=60_000,
    batch_size=128,
    epochs=20,
)
def flat_denoise():
    """784-128-64-64-128-784, the sigmoid behind a Reshape."""
    inner = dense(128, 64, 64, 128, 784, last="sigmoid")
    model = sequential((28, 28, 1), layers.Flatten(), inner, layers.Reshape((28, 28, 1)))
    model.compile("adam", "binary_crossentropy")
    return model


@set_up(
    "Coursera, Introduction to Deep Learning (HSE), week 4",
    rebuilt(pixels(shape=(32, 32, 3), shift=0.5), validation=1 / 9),
    rows=11_828,
    epochs=15,
)
def faces_pca():
    """3072-32-3072, linear, by Adamax."""
    inner = [layers.Flatten(), *dense(32, 3072, hidden="linear"), layers.Reshape((32, 32, 3))]
    model = sequential((32, 32, 3), inner)
    model.compile("adamax", "mse")
    return model


@set_up(
    "a public notebook: three codes to plot",
    rebuilt(pixels(784)),
    rows=60_000,
    batch_size=256,
    epochs=10,
)
def mnist_3_codes():
    """784-3-784 by SGD."""
    model = sequential(784, dense(3, 784, hidden="tanh"))
    model.compile("sgd", "mse")
    return model


@set_up(
    "a public notebook: 24 x 24 maps (number of rows assumed)",
    rebuilt(pixels(shape=(24, 24))),
    rows=5000,
    epochs=50,
)
def grid_rmsprop():
    """576-9-576 by RMSprop."""
    inner = dense(9, 576, hidden="linear", last="sigmoid")
    model = sequential((24, 24), layers.Flatten(), inner, layers.Reshape((24, 24)))
    model.compile("rmsprop", "mean_squared_error")
    return model


@set_up(
    "Agustinus Kristiadi's blog: deriving the contractive autoencoder and implementing it in Keras",
    rebuilt(pixels(784)),
    rows=60_000,
    batch_size=128,
    epochs=3,
)
def contractive():
    """784-100-784, the codes' derivative added to the loss."""
    model = sequential(784, parts.Contractive(100, 1e-4), layers.Dense(784))
    model.compile("adam", "mse")
    return model


def _of_a_first_layer(count, images):
    """Codes of images by a layer that has been trained."""
    import numpy as np

    kernel = np.random.default_rng(0).standard_normal((784, 500), np.float32) / 28
    return np.maximum(pixels(784)(count, images) @ kernel, 0)


@set_up(
    "a common form of layer-wise pretraining: the second layer on the first one's codes",
    rebuilt(_of_a_first_layer),
    rows=60_000,
    batch_size=256,
    epochs=20,
    drawn=True,
)
def greedy_layer():
    """500-500-500 with Dropout before both layers, by SGD with Nesterov's momentum."""
    inner = [layers.Dropout(0.2), layers.Dense(500, "relu"), layers.Dropout(0.2)]
    model = sequential(500, inner, layers.Dense(500))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), "mse")
    return model


@set_up(
    "a common form: cross-entropy of logits, models in a model",
    rebuilt(pixels(784), validation=1 / 6),
    rows=60_000,
    batch_size=128,
    epochs=20,
)
def nested_logits():
    """An encoder and a decoder, functional, the sigmoid in the loss."""
    halves = [sequential(784, dense(256, 32, last="relu")), sequential(32, dense(256, 784))]
    rows = keras.Input((784,))
    model = keras.Model(rows, halves[1](halves[0](rows)))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


@set_up(
    "a common form: bytes, scaled inside the model",
    rebuilt(lambda count, images: pixels(784)(count, images) * 255, validation=1 / 6),
    rows=60_000,
    batch_size=128,
    epochs=20,
)
def rescaled_inside():
    """Rescaling, then 784-64-784 with PReLU, and Rescaling back."""
    inner = [layers.Dense(64), layers.PReLU(), layers.Dense(784, "sigmoid")]
    model = sequential(784, layers.Rescaling(1 / 255), inner, layers.Rescaling(255.0))
    model.compile("adam", "mae")
    return model
