"""Keras' own step, an epoch a call: as a graph, and compiled by XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers
from keras_twins import (
    BATCH,
    FEATURES,
    UNEVEN_BATCH,
    compiled,
    convolutions,
    go_on_with_keras,
    normalised,
    same_histories,
    same_weights,
    sequential,
)

import tfae
from tfae.keras_bridge.draws import by_philox


class Stop(keras.callbacks.Callback):
    """Ends the training after so many epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 >= self.epochs


def test_what_is_worth_it_is_compiled(native, rows):
    """By XLA, to the same numbers; with a short last batch."""
    settings = {"build": normalised, "metrics": ["mse", "mae"]}
    ours, theirs = compiled(**settings), compiled(**settings)
    options = {"batch_size": UNEVEN_BATCH, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    expected = theirs.fit(rows, rows, epochs=3, **options)
    options["engine"] = "xla"
    history = tfae.fit(ours, rows, epochs=10_000, callbacks=[Stop(3)], **options)
    (runner,) = ours._tfae_kept.runners.values()
    assert runner.compiled
    same_histories(history, expected)
    same_weights(ours, theirs)
    go_on_with_keras(ours, theirs, rows)


def test_what_xla_does_not_compile_goes_on_as_a_graph(rows):
    class Looked(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return tf.numpy_function(lambda step: np.float32(0.1), [step], tf.float32)

    settings = {"build": normalised, "optimizer": lambda: optimizers.SGD(Looked())}
    ours, theirs = compiled(**settings), compiled(**settings)
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    expected = theirs.fit(rows, rows, epochs=3, **options)
    history = tfae.fit(ours, rows, epochs=10_000, callbacks=[Stop(3)], engine="xla", **options)
    reason = history.params["reason"]
    assert "as a graph, since XLA does not compile it: XLA has no PyFunc" in reason
    same_histories(history, expected)
    same_weights(ours, theirs)


def test_what_the_kernels_lack_is_named_where_they_are_asked_for(native, rows):
    message = "engine='fused' does not take this model: layer 'seen' is a Conv2D.*Conv2D; use eng"
    with pytest.raises(ValueError, match=message):
        tfae.fit(compiled(convolutions), rows, engine="fused", verbose=0)


def test_one_epoch_is_one_trace(native, rows):
    """Every epoch and every later call runs what the first one made."""
    model = compiled(sequential, metrics=["mae"])
    for _ in range(2):
        tfae.fit(model, rows, batch_size=BATCH, epochs=2, verbose=0, engine="xla")
    (runner,) = model._tfae_kept.runners.values()
    assert runner._as_graph.experimental_get_tracing_count() == 1
    options = {"batch_size": BATCH, "epochs": 10_000, "verbose": 0, "engine": "xla"}
    tfae.fit(model, rows, callbacks=[Stop(2)], **options)
    assert runner._by_xla.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(("asked_for", "engine"), [("auto", "fused"), ("xla", "keras")])
def test_what_works_in_training_only_is_at_work(native, asked_for, engine, rows):
    """Dropout and noise, other ones every epoch, are in the training loss alone."""

    def noisy():
        layers = [keras.layers.GaussianNoise(1.0), *sequential((32,)).layers]
        layers.insert(2, keras.layers.Dropout(0.5))
        return keras.Sequential([keras.Input((FEATURES,)), *layers])

    model = compiled(
        noisy, lambda: optimizers.SGD(1e-30)
    )  # learns nothing: the weights stay what they are
    options = {"epochs": 3, "batch_size": BATCH, "verbose": 0, "engine": asked_for}
    history = tfae.fit(model, rows, validation_data=rows, **options)
    losses, val_losses = history.history["loss"], history.history["val_loss"]
    assert history.params["engine"] == engine
    assert len(set(losses)) == 3
    assert val_losses == [pytest.approx(model.evaluate(rows, rows, verbose=0))] * 3
    assert min(losses) > 1.01 * val_losses[0]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_is_drawn_is_what_philox_draws(jit_compile):
    """And what asks for another algorithm has it."""

    def drawn(**alg):
        def draws(seed):
            return tf.random.stateless_uniform((8,), seed, **alg)

        return tf.function(draws, jit_compile=jit_compile)

    automatic, philox, threefry = drawn(), drawn(alg="philox"), drawn(alg="threefry")
    with by_philox():
        found = automatic((1, 2)).numpy()
        if jit_compile:  # outside of XLA there is no other
            assert not np.array_equal(threefry((1, 2)), found)
    np.testing.assert_array_equal(found, philox((1, 2)))
