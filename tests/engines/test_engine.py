"""Which engine a run gets, and what the XLA engine promises beside its numbers."""

import numpy as np
import pytest
import tensorflow as tf
from tolerances import EPOCH_LOSS_RTOL, EPOCHS_SLOT_RTOL, EPOCHS_WEIGHT_ATOL, MIXED_LOSS_RTOL

from tfae.autoencoder import Autoencoder
from tfae.config import TrainConfig
from tfae.engines import make_engine
from tfae.engines.fused import LARGEST_KERNEL
from tfae.errors import ConfigError
from tfae.nn.precision import (
    INITIAL_LOSS_SCALE,
    LOSS_SCALE_GROWTH_STEPS,
    PRECISIONS,
    LossScale,
)
from tfae.nn.spec import Stack


def build(count, features=36, **options):
    """An XLA engine for a small stack."""
    settings = {"layers": (8,), "optimizer": "adam", "batch_size": 64, "engine": "xla"}
    config = TrainConfig(**settings, **options)
    model = Autoencoder(Stack.mirrored(features, config.layers)).network
    return make_engine(config, model, count)[0]


def test_every_epoch_is_the_same_one_trace(byte_rows):
    engine = build(len(byte_rows))
    rows, count = tf.constant(byte_rows), len(byte_rows)
    for epoch in range(4):
        engine.train_epoch(rows, tf.random.shuffle(tf.range(count), seed=epoch))
        engine.evaluate(rows)
    assert engine.train_epoch.experimental_get_tracing_count() == 1
    assert engine.evaluate.experimental_get_tracing_count() == 1


def test_an_epoch_is_one_compiled_program_that_updates_its_state_in_place(byte_rows):
    engine = build(len(byte_rows))
    arguments = tf.constant(byte_rows), tf.range(len(byte_rows))
    program = engine.train_epoch.experimental_get_compiler_ir(*arguments)("optimized_hlo")
    # A loop whose end is known asks no device after each step whether there is another.
    assert f'"known_trip_count":{{"n":"{len(byte_rows) // 64}"}}' in program
    header = program.splitlines()[0]
    state_size = len(tf.nest.flatten(engine.state.read()))
    aliases = header.split("input_output_alias={")[1].split("}, entry")[0].count("alias)")
    # All of the state but the loss scale, which float32 does not touch.
    assert aliases >= state_size - len(LossScale._fields)


@pytest.mark.parametrize(
    ("precision", "loss_rtol"),
    [("float32", EPOCH_LOSS_RTOL), ("mixed_float16", MIXED_LOSS_RTOL)],
)
def test_several_epochs_in_one_call_are_as_many_calls(precision, loss_rtol, byte_rows):
    """Another program, in which XLA may round otherwise."""
    count = 2 * 64  # whole batches: a short one is another step to compile
    one, several = (build(count, precision=precision) for _ in range(2))
    rows = tf.constant(byte_rows[:count])
    orders = tf.stack([tf.random.shuffle(tf.range(count), seed=epoch) for epoch in range(3)])
    losses = [float(one.train_epoch(rows, order)) for order in orders]
    np.testing.assert_allclose(several.train_epochs(rows, orders), losses, rtol=loss_rtol)
    expected, state = one.state.read(), several.state.read()
    assert (int(state.step), *map(float, state.loss_scale)) == (
        int(expected.step),
        *map(float, expected.loss_scale),
    )
    if precision != "float32":
        return  # weights of which a half was rounded apart have no bound worth testing
    for ours, theirs in zip(state.params, expected.params, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=EPOCHS_WEIGHT_ATOL)
    for ours, theirs in zip(*map(tf.nest.flatten, (state.slots, expected.slots)), strict=True):
        atol = EPOCHS_SLOT_RTOL * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def test_the_short_last_batch_counts_by_its_rows(byte_rows):
    """The loss of an epoch that learns nothing is the mean over the rows, not over the batches."""
    engine = build(100, learning_rate=1e-30)
    rows = byte_rows[:100].copy()
    rows[64:] = 255 - rows[64:]  # the short batch is unlike the others
    loss = float(engine.train_epoch(tf.constant(rows), tf.range(100)))
    assert loss == pytest.approx(float(engine.evaluate(tf.constant(rows))), rel=1e-6)


def test_a_non_finite_gradient_skips_the_step_and_halves_the_scale(byte_rows):
    engine = build(64, precision="mixed_float16")
    engine.state.params[0].assign_add(tf.fill((36, 8), 7e4))  # beyond float16's 65,504
    before = [variable.numpy() for variable in engine.state.variables]
    engine.train_epoch(tf.constant(byte_rows[:64]), tf.range(64))
    scale = LossScale(*(float(value) for value in engine.state.loss_scale))
    assert scale == (INITIAL_LOSS_SCALE / 2, 0, 1)
    assert engine.state.skipped_steps == 1
    changed = [
        variable.name
        for variable, old in zip(engine.state.variables, before, strict=True)
        if not np.array_equal(variable.numpy(), old)
    ]
    assert len(changed) == 2  # the scale and the count of skipped steps; no weight, slot or step


def test_the_loss_scale_doubles_after_2000_good_steps(byte_rows):
    engine = build(64, precision="mixed_float16")
    scale = LossScale(*engine.state.loss_scale)
    scale.good_steps.assign(LOSS_SCALE_GROWTH_STEPS - 2)
    rows, order = tf.constant(byte_rows[:64]), tf.range(64)
    engine.train_epoch(rows, order)
    assert float(scale.value) == INITIAL_LOSS_SCALE
    engine.train_epoch(rows, order)
    assert float(scale.value) == 2 * INITIAL_LOSS_SCALE
    assert int(scale.good_steps) == 0
    assert int(engine.state.step) == 2


def test_mixed_precisions_learn_as_float32_does(byte_rows):
    losses, count = {}, 9 * 64  # whole batches: a short one is another step to compile
    rows = tf.constant(byte_rows[:count])
    for name in PRECISIONS:
        engine = build(count, precision=name)
        for epoch in range(20):
            order = tf.random.experimental.stateless_shuffle(tf.range(count), (0, epoch))
            engine.train_epoch(rows, order)
        losses[name] = float(engine.evaluate(rows))
    # Half-precision products move a trained loss by well under the 0.3 % that runs are held to.
    assert list(losses.values()) == pytest.approx([losses["float32"]] * 3, rel=3e-3)


def test_auto_takes_the_fused_engine_where_it_is_faster(native):
    def chosen(features, **options):
        config = TrainConfig(**options)
        model = Autoencoder(Stack.mirrored(features, config.layers)).network
        engine, reason = make_engine(config, model, 10)
        return engine.name, reason

    assert chosen(784) == ("fused", "expected to be the fastest here")
    assert chosen(784, engine="xla") == ("xla", "asked for by name")
    assert chosen(784, engine="fused") == ("fused", "asked for by name")
    wide = LARGEST_KERNEL // 784 + 1
    name, reason = chosen(784, layers=(wide,))
    assert name == "xla"
    assert f"784 x {wide}" in reason
    assert chosen(784, layers=(wide,), engine="fused")[0] == "fused"
    name, reason = chosen(784, precision="mixed_float16")
    assert name == "xla"
    assert "not in float16" in reason
    with pytest.raises(ConfigError, match="engine fused does not take this run"):
        chosen(784, precision="mixed_float16", engine="fused")
