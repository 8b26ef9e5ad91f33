"""What training made for a model ends with the model."""

import gc
import weakref

import keras
import pytest
from keras_twins import FEATURES, compiled

import tfae


def graphs():
    """How many of TensorFlow's graphs Python still has."""
    for _ in range(3):  # what ends in one collection lets others end in the next
        gc.collect()
    return sum("FuncGraph" in type(thing).__name__ for thing in gc.get_objects())


@pytest.mark.parametrize(("asked_for", "engine"), [("auto", "fused"), ("xla", "keras")])
def test_graphs_live_no_longer_than_their_model(native, asked_for, engine, rows):
    def trained():
        noise = keras.layers.Dropout(0.1)
        layers = [keras.layers.Dense(8), noise, keras.layers.Dense(FEATURES)]
        model = compiled(lambda: keras.Sequential([keras.Input((FEATURES,)), *layers]))
        history = tfae.fit(model, rows, batch_size=600, verbose=0, engine=asked_for)
        assert history.params["engine"] == engine
        return weakref.ref(model)

    trained()
    before = graphs()
    model = trained()
    assert graphs() <= before
    assert model() is None
