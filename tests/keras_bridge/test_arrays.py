"""Rows as people give them: lists, frames and others, against numpy's of the same numbers."""

from decimal import Decimal

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import tensorflow as tf
from tolerances import EPOCH_LOSS_RTOL

import tfae

ROWS = 40
BASE = pd.DataFrame(np.random.default_rng(0).random((ROWS, 2)), columns=["a", "b"])
ONES = [1, 0] * (ROWS // 2)
TAKEN = {
    "bool": BASE.assign(c=np.array(ONES, bool)),
    "Int64": BASE.assign(c=pd.array(ONES, dtype="Int64")),
    "boolean": BASE.assign(c=pd.array(ONES, dtype="boolean")),
    "Float64": BASE.assign(c=ONES).astype("Float64"),
    "pyarrow": BASE.assign(c=ONES).astype("double[pyarrow]"),
    "pyarrow, mixed": BASE.assign(c=pd.array(ONES, dtype="int8[pyarrow]")),
    "decimals": BASE.assign(c=[Decimal(number) for number in ONES]),
    "categories": BASE.assign(c=pd.Categorical(ONES)),
    "objects": BASE.assign(c=ONES).astype(object),
    "sparse": BASE.assign(c=ONES).astype(pd.SparseDtype("float64", 0.0)),
    "one name twice": pd.concat([BASE, pd.Series(np.array(ONES, bool), name="a")], axis=1),
    "another index": BASE.assign(c=pd.array(ONES, dtype="Int64")).set_index(np.arange(ROWS)[::-1]),
    "a pyarrow table": pa.table({"a": BASE.a, "b": BASE.b, "c": ONES}),
    "objects in an array": BASE.assign(c=ONES).to_numpy().astype(object),
    "lists": BASE.assign(c=ONES).to_numpy().tolist(),
    "scipy's matrix": scipy.sparse.csr_matrix(BASE.assign(c=ONES)),
    "scipy's array": scipy.sparse.coo_array(BASE.assign(c=ONES)),
    "a sparse tensor": tf.sparse.from_dense(BASE.assign(c=ONES).to_numpy()),
}
NOT_TAKEN = {
    "Int64 with a gap": (
        BASE.assign(c=pd.array([1, 0, 1, None] * 10, dtype="Int64")),
        r"x: column 'c' \(Int64\) has no value in row 3 \(10 of 40",
    ),
    "boolean with a gap": (
        BASE.assign(c=pd.array([None, True] * 20, dtype="boolean")),
        r"column 'c' \(boolean\) has no value in row 0",
    ),
    "pyarrow with a gap": (
        BASE.assign(c=pd.array([1, None] * 20, dtype="int64[pyarrow]")),
        r"column 'c' \(int64\[pyarrow\]\) has no value in row 1",
    ),
    "objects with a gap": (
        BASE.assign(c=pd.Series([1.0, None] * 20, dtype=object)),
        r"column 'c' \(object\) has no value in row 1",
    ),
    "categories with a gap": (
        BASE.assign(c=pd.Categorical([1, None] * 20)),
        r"column 'c' \(category\) has no value in row 1",
    ),
    "text": (BASE.assign(c="x"), r"x: no numbers in column 'c' \((str|object)\): drop it"),
    "numbers as text": (BASE.assign(c="1.5"), "no numbers in column 'c'"),
    "two columns": (
        BASE.assign(c="x", d=pd.Timestamp(0)),
        r"no numbers in columns 'c' \((str|object)\), 'd' \(datetime64\[",
    ),
    "categories of text": (
        BASE.assign(c=pd.Categorical(["1", "2"] * 20)),
        r"'c' \(category\)",
    ),
    "complex numbers": (BASE.assign(c=1j), r"'c' \(complex128\)"),
    "a column": (pd.Series(["x"], name="named"), "x: no numbers in column 'named'"),
    "ragged": ([[1.0, 2.0], [3.0]], "x: rows differ in length: row 1 has 1 numbers and row 0 2"),
    "ragged arrays": (np.array([[1], [2], [3, 4]], object), "row 2 has 2 numbers and row 0 1"),
    "ragged images": ([[[1.0], [2.0]], [[3.0], [4.0, 5.0]]], "the parts of row 1 differ in length"),
    "several arrays": ([np.ones((4, 3)), np.ones((4, 3))], "must be one array, got a list of sev"),
    "a gap in a list": ([[1.0, 2.0, None]], r"got list of object \(None in row 0\)"),
    "scipy's, and large": (
        scipy.sparse.csr_matrix((10**9, 10**6)),
        r"sparse matrix, and as an array its rows would take 8,000,000 GB",
    ),
    "a ragged tensor": (tf.ragged.constant([[1.0], [2.0, 3.0]]), r"x.to_tensor\(\) pads"),
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(3)])
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_numbers_is_taken(name, model):
    rows = np.column_stack([BASE.a, BASE.b, ONES])
    expected = model.evaluate(rows, rows, verbose=0)
    assert tfae.evaluate(model, TAKEN[name], verbose=0) == pytest.approx(
        expected, rel=EPOCH_LOSS_RTOL
    )


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_is_none_is_named_in_one_line(name, model):
    given, message = NOT_TAKEN[name]
    with pytest.raises(ValueError, match=message) as raised:
        tfae.fit(model, given, verbose=0)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="validation_data: x"):
        tfae.fit(model, np.ones((4, 3)), validation_data=(given,), verbose=0)


def test_a_frame_trains_as_keras_trains_it(model):
    frame = TAKEN["bool"]
    theirs = keras.models.clone_model(model)
    theirs.set_weights(model.get_weights())
    theirs.compile("sgd", "mse")
    options = {"epochs": 2, "shuffle": False, "verbose": 0}
    expected = theirs.fit(frame, frame, **options).history["loss"]
    measured = tfae.fit(model, frame, frame, **options).history["loss"]
    assert measured == pytest.approx(expected, rel=EPOCH_LOSS_RTOL)
