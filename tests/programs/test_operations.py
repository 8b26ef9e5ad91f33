"""Every operation of a program against TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfae.programs.nodes import NotTaken
from tfae.programs.program import Program

pytestmark = pytest.mark.usefixtures("native")
ROWS, COLUMNS = 23, 70
RTOL = 4e-6  # some units in the last place, of formulas whose steps differ


def values(shape=(ROWS, COLUMNS), seed=0):
    """Numbers of both signs, a few of which are large, and zeros."""
    numbers = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    numbers.flat[::11] *= 20
    numbers.flat[::13] = 0
    return numbers


def run(function, *tables, batch_size=ROWS):
    """What a program makes of tables, as one batch."""
    tables = [tf.constant(table) for table in tables]
    expected = tf.function(function, autograph=False)(*tables)
    flat = tf.nest.flatten(expected)
    variables = [tf.Variable(tf.zeros_like(part)) for part in flat]

    def step(*batch):
        for variable, part in zip(variables, tf.nest.flatten(function(*batch)), strict=True):
            variable.assign(tf.reshape(part, variable.shape))

    specs = [tf.TensorSpec((None, *table.shape[1:]), table.dtype) for table in tables]
    row_count = tables[0].shape[0]
    program = Program(step, specs, batch_size, row_count, threads=2)
    program.run(tables, tf.range(row_count))
    return [variable.numpy() for variable in variables], [part.numpy() for part in flat]


def same(function, *tables, rtol=RTOL, atol=0):
    made, expected = run(function, *tables)
    for number, (ours, theirs) in enumerate(zip(made, expected, strict=True)):
        largest = np.max(np.abs(theirs[np.isfinite(theirs)]), initial=0)
        np.testing.assert_allclose(
            ours, theirs, rtol=rtol, atol=1e-6 * largest + atol, err_msg=f"number {number}"
        )


def slope(function):
    """The gradient of a function of elements."""

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(function(x) * tf.constant(values((1, COLUMNS), 3)))
        return tape.gradient(total, x)

    return gradient


ACTIVATIONS = [
    "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes(name):
    function = keras.activations.get(name)
    x = values()
    if name == "exponential":
        x = np.clip(x, -9, 9)
    same(function, x)
    same(slope(function), x, atol=4e-6)  # of upstream gradients up to 3


UNARY = [
    tf.abs, tf.sign, tf.square, tf.exp, tf.math.expm1, tf.floor, tf.math.ceil, tf.round, tf.sin,
    tf.cos, tf.math.erf, tf.math.is_nan, tf.negative, tf.math.lgamma,
]  # fmt: skip
OF_POSITIVE = [tf.sqrt, tf.math.rsqrt, tf.math.log, tf.math.log1p, tf.math.reciprocal]


@pytest.mark.parametrize("function", UNARY, ids=lambda function: function.__name__)
def test_functions_of_a_number(function):
    same(lambda x: tf.cast(function(x), tf.float32), np.clip(values(), -30, 30))


@pytest.mark.parametrize("function", OF_POSITIVE, ids=lambda function: function.__name__)
def test_functions_of_a_positive_number(function):
    x = np.abs(values()) + np.float32(1e-6)
    same(function, x)
    same(slope(function), x)


def test_the_logarithm_of_what_has_none():
    x = np.tile(np.array([0.0, -1.0, np.inf, np.nan, 1e-30, 1e30], np.float32), (4, 1))
    made, expected = run(tf.math.log, x, batch_size=4)
    np.testing.assert_allclose(made[0], expected[0], rtol=RTOL)
    made, expected = run(tf.exp, np.array([[-200, -90, 88.6, 89, 1e5, -np.inf]], np.float32))
    np.testing.assert_allclose(made[0], expected[0], rtol=RTOL, atol=1e-37)


BINARY = [
    tf.add, tf.subtract, tf.multiply, tf.divide, tf.math.divide_no_nan, tf.maximum, tf.minimum,
    tf.math.squared_difference, tf.less, tf.greater_equal, tf.equal, tf.not_equal,
    lambda a, b: tf.where(a > b, a, 2 * b), lambda a, b: tf.abs(a) ** b,
    lambda a, b: tf.math.floormod(a, b + 0.3), lambda a, b: tf.math.xlogy(a, tf.abs(b)),
]  # fmt: skip
SHAPES = [(ROWS, COLUMNS), (1, COLUMNS), (ROWS, 1), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_functions_of_two_numbers_of_any_shapes(shape):
    x, other = values(), values(shape, 1)
    rows = x[:, :1] if shape[1] == 1 else x

    def all_of_them(x):
        other_here = tf.constant(other) if shape[0] == 1 else (x[:, :1] if shape[1] == 1 else x) * 2
        made = [function(x, other_here) for function in BINARY]
        made += [function(other_here, x) for function in BINARY[:4]]
        return [tf.cast(part, tf.float32) for part in made]

    assert rows.shape[0] == ROWS
    with np.errstate(all="ignore"):
        same(all_of_them, x)


def test_sums_over_rows_columns_and_all():
    def folds(x):
        square = tf.square(x)
        return [
            *(tf.reduce_sum(square, axis) for axis in (None, 0, 1, -1)),
            *(tf.reduce_mean(x, axis, keepdims=True) for axis in (None, 0, 1)),
            *(tf.reduce_max(x, axis) for axis in (None, 0, 1)),
            *(tf.reduce_min(x, axis) for axis in (None, 0, 1)),
            tf.reduce_prod(1 + 0.01 * x, 1),
            tf.cast(tf.reduce_any(x > 2, 1), tf.float32),
            tf.cast(tf.reduce_all(x > -2), tf.float32),
            x / tf.reduce_sum(tf.abs(x), 1, keepdims=True),
            tf.math.reduce_variance(x, 0),
        ]

    same(folds, values(), rtol=2e-5)  # sums of as many numbers of both signs
    same(folds, values((ROWS, 1)), rtol=2e-5)
    same(folds, values((ROWS, 3)), rtol=2e-5)


def test_what_is_between():
    """Sums over an axis in the middle, and operands that have none there."""
    centres = values((5, 10), 1)

    def between(x):
        far = tf.square(x[:, :10][:, None] - centres)  # [rows, 5, 10]
        near = 1 / (1 + tf.reduce_sum(far, 2))
        weights = tf.reshape(x[:5, 0], (1, 5, 1))
        return [
            near,
            tf.reduce_sum(far, 1),
            tf.reduce_max(far, 1),
            far * weights,
            far * near[..., None],
        ]

    same(between, values())


@pytest.mark.parametrize("shapes", [(23, 70, 9), (5, 1, 1), (64, 300, 33), (2, 700, 16), (7, 8, 8)])
def test_products(shapes):
    rows, depth, columns = shapes
    right = values((depth, columns), 1)

    def products(x):
        straight = x @ right
        return [
            straight,
            tf.matmul(x, tf.transpose(tf.constant(right)), transpose_b=True),
            tf.matmul(x, straight, transpose_a=True),
            tf.matmul(straight, tf.constant(right), transpose_b=True),
            tf.nn.bias_add(straight, tf.range(columns, dtype=tf.float32)),
        ]

    made, expected = run(products, values((rows, depth)), batch_size=rows)
    for ours, theirs in zip(made, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def test_parts_and_wholes():
    def parts(x):
        first, second = tf.split(x, 2, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(x[:, 3:9] * 2.0 + x[:, 0:1]) + tf.reduce_sum(x[:, 5] ** 2)
        return [
            first * second,
            tf.concat([second, x[:, :7], first], 1),
            tf.concat([x, x + 1], 0),
            tf.stack([x, 2 * x], 1),
            tf.pad(x, [[0, 0], [2, 3]]),
            tf.transpose(x),
            tf.reshape(x, (ROWS, 7, 10)) + tf.range(10, dtype=tf.float32),
            tf.tile(tf.reduce_sum(x, 1, keepdims=True), [1, 5]),
            tf.broadcast_to(x[:1], (4, COLUMNS)),
            tf.unstack(x, axis=1)[3],
            tape.gradient(total, x),
        ]

    same(parts, values())


def test_whole_numbers():
    kinds = np.random.default_rng(0).integers(-50, 50, (ROWS, 4)).astype(np.int32)

    def function(x):
        return [
            x + 3,
            x * x - 7,
            tf.math.floormod(x, 7),
            x // 3,
            tf.maximum(x, 4),
            tf.cast(x, tf.float32) / 3,
            tf.cast(tf.cast(x, tf.float32) / 3, tf.int32),
            tf.cast(x > 3, tf.int32),
            tf.where(x > 3, x, -x),
            tf.argmax(tf.cast(x, tf.float32), -1),
        ]

    made, expected = run(function, kinds)
    for ours, theirs in zip(made, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (ROWS, 3), (ROWS, 300)])
def test_draws_are_tensorflows_own(shape):
    def draws(x):
        seed = tf.constant([5, 7]) + tf.cast(tf.reduce_max(x) * 0, tf.int32)
        return [
            tf.random.stateless_uniform(shape, seed),
            tf.random.stateless_normal(shape, seed + 1),
            tf.random.experimental.stateless_fold_in(seed, 3) if False else x,
        ]

    made, expected = run(draws, values())
    np.testing.assert_array_equal(made[0], expected[0])
    np.testing.assert_allclose(made[1], expected[1], rtol=1e-5, atol=1e-6)


def test_losses_of_keras():
    targets = np.abs(values(seed=2)) % 1
    for name in ("mse", "mae", "mape", "msle", "binary_crossentropy", "kl_divergence", "poisson",
                 "log_cosh", "huber", "cosine_similarity", "categorical_crossentropy", "hinge",
                 "binary_focal_crossentropy", "tversky", "dice"):  # fmt: skip
        loss = keras.losses.get(name)
        same(lambda x, y, loss=loss: loss(y, tf.sigmoid(x)), values(), targets, rtol=2e-5)


def test_what_is_not_taken_is_named():
    for function, message in (
        (lambda x: tf.cast(tf.cast(x, tf.float64), tf.float32), "float64"),
        (lambda x: tf.linalg.inv(tf.matmul(x, x, transpose_a=True)), "the operation MatrixInverse"),
        (lambda x: tf.sort(x), "the operation TopKV2"),
    ):
        with pytest.raises(NotTaken, match=message):
            run(function, values())
