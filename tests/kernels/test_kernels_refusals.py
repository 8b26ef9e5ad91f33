"""What the native ops refuse: a call that is right, and what is wrong with each of the others."""

import numpy as np
import pytest
import tensorflow as tf

RIGHT = {
    "rows": np.zeros((10, 6), np.float32),
    "order": np.arange(10, dtype=np.int32),
    "center": np.zeros(0, np.float32),
    "width": np.zeros(0, np.float32),
    "rates": np.ones(3, np.float32),
    "decays": np.zeros(0, np.float32),
    "params": [np.zeros(shape, np.float32) for shape in ((6, 3), (3,), (3, 6), (6,))],
    "slots": [],
    "activations": [0, 6],
    "loss": 0,
    "compute": "float32",
    "optimizer": "sgd",
    "constants": [],
    "clip_norm": 0.0,
    "batch_size": 4,
    "threads": 2,
}
ones = [np.ones(shape, np.float32) for shape in ((6, 3), (3,), (3, 6), (6,))]
WRONG = {
    "rows of another width": ({"rows": np.zeros((10, 7), np.float32)}, "takes 7 columns"),
    "rows that are a list": ({"rows": np.zeros(10, np.float32)}, "rows must be a matrix"),
    "no rows": ({"rows": np.zeros((0, 6), np.float32)}, "rows must be a matrix"),
    "an order beyond the rows": ({"order": np.full(10, 10, np.int32)}, "beyond the 10"),
    "an order below the rows": ({"order": np.full(10, -1, np.int32)}, "beyond the 10"),
    "an order that is empty": ({"order": np.zeros(0, np.int32)}, "order must be a list"),
    "an order that is a matrix": ({"order": np.zeros((2, 5), np.int32)}, "order must be a list"),
    "too few rates": ({"rates": np.ones(2, np.float32)}, "rates must be 3"),
    "too many decays": ({"decays": np.ones(4, np.float32)}, "decays must be 3 or none"),
    "a center without a width": ({"center": np.zeros(6, np.float32)}, "go together"),
    "a center of another size": (
        {"center": np.zeros(5, np.float32), "width": np.ones(5, np.float32)},
        "a value for each column",
    ),
    "a bias of another size": (
        {"params": [*ones[:1], np.ones(4, np.float32), *ones[2:]]},
        "layer 0 takes 6 columns",
    ),
    "a kernel that is no matrix": ({"params": [ones[1], *ones[1:]]}, "layer 0 takes 6 columns"),
    "a stack that ends elsewhere": (
        {"params": [*ones[:2], np.ones((3, 5), np.float32), np.ones(5, np.float32)]},
        "takes 6 columns and gives 5",
    ),
    "a layer without an activation": ({"activations": [6]}, "for each of 1 layers"),
    "no activations": ({"activations": []}, "activations"),
    "an unknown activation": ({"activations": [99, 6]}, "unknown activation 99"),
    "an unknown loss": ({"loss": -1}, "unknown loss -1"),
    "cross-entropy of a relu": ({"activations": [0, 0]}, "needs a sigmoid"),
    "slots that sgd has not": ({"slots": ones}, "sgd has 0 slots"),
    "slots of another shape": (
        {"optimizer": "adam", "constants": [0.1, 0.1, 0.1], "slots": [*ones, *ones[::-1]]},
        "slot 4 has the shape",
    ),
    "constants that are missing": ({"optimizer": "adam", "slots": [*ones, *ones]}, "3 constants"),
    "an unknown optimizer": ({"optimizer": "rmsprop"}, "optimizer"),
    "no threads": ({"threads": 0}, "threads"),
    "rows of another type": ({"rows": np.zeros((10, 6), np.float64)}, "double"),
    "params of another type": ({"params": [tf.constant(p, tf.float64) for p in ones]}, "double"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused_by_the_op(native, case):
    native.ops.tfae_train_epoch(**RIGHT)
    wrong, message = WRONG[case]
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError), match=message):
        native.ops.tfae_train_epoch(**{**RIGHT, **wrong})


def test_the_other_ops_refuse_wrong_rows_too(native):
    names = ("rows", "center", "width", "params", "activations", "threads")
    shared = {name: RIGHT[name] for name in names}
    wrong = {**shared, "rows": np.zeros((10, 7), np.float32)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes 7 columns"):
        native.ops.tfae_layers(**wrong)
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes 7 columns"):
        native.ops.tfae_evaluate(**wrong, loss=0, compute="float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="unknown activation 99"):
        native.ops.tfae_evaluate(**{**shared, "activations": [99, 6]}, loss=0, compute="float32")


@pytest.mark.parametrize("name", ["rows", "bias"])
def test_a_scalar_is_refused_while_a_graph_is_traced(native, name):
    params = [tf.zeros(shape) for shape in ((6, 3), () if name == "bias" else (3,))]
    rows = tf.zeros(() if name == "rows" else (10, 6))

    @tf.function
    def traced():
        return native.ops.tfae_layers(
            rows=rows, center=[], width=[], params=params, activations=[0], threads=1
        )

    with pytest.raises(ValueError, match="must be rank"):
        traced()
