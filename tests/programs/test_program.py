"""Programs of steps that change variables."""

import numpy as np
import pytest
import tensorflow as tf

from tfae.programs.nodes import NotTaken
from tfae.programs.program import Program

ROWS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def program_of(step, batch_size=16, **options):
    specs = [tf.TensorSpec((None, ROWS.shape[1]))]
    return Program(step, specs, batch_size, len(ROWS), **options)


def run(program, order=None):
    order = tf.range(len(ROWS)) if order is None else order
    return program.run([tf.constant(ROWS)], order)


def by_steps(step, batch_size=16, order=None):
    """The same by TensorFlow, a batch after the other."""
    rows, traced = ROWS[list(range(len(ROWS)) if order is None else order)], tf.function(step)
    for first in range(0, len(rows), batch_size):
        traced(tf.constant(rows[first : first + batch_size]))


def variables():
    rng = np.random.default_rng(1)
    return [
        tf.Variable(rng.normal(size=(6, 6)).astype(np.float32)),
        tf.Variable(np.zeros(6, np.float32)),
        tf.Variable(np.int64(7)),
        tf.Variable(False),
    ]


def step_of(kernel, total, count, seen):
    """Reads old values after new ones were written, swaps, counts, branches."""

    def step(rows):
        before = kernel.read_value()
        kernel.assign_sub(0.01 * tf.matmul(rows, tf.tanh(rows @ kernel), transpose_a=True))
        total.assign_add(tf.reduce_sum(rows @ before, 0) - tf.reduce_sum(kernel, 1))
        tf.cond(
            tf.reduce_mean(rows) > 0,
            lambda: total.assign(total * 0.5),
            lambda: total.assign(total + tf.cast(count, tf.float32)),
        )
        count.assign_add(tf.cast(tf.shape(rows)[0], tf.int64))
        seen.assign(tf.logical_or(seen, tf.reduce_max(rows) > 2.5))

    return step


@pytest.mark.parametrize("threads", [1, 3])
def test_variables_are_changed_as_tensorflow_changes_them(native, threads):
    ours, theirs = variables(), variables()
    order = np.random.default_rng(2).permutation(len(ROWS)).astype(np.int32)
    program = program_of(step_of(*ours), threads=threads)
    for _ in range(2):
        run(program, tf.constant(order))
        by_steps(step_of(*theirs), order=order)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-5, atol=1e-5)
        assert one.dtype == other.dtype


def test_two_variables_can_change_places(native):
    first, second = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])

    def swap(rows):
        before = first.read_value()
        first.assign(second + 0 * tf.reduce_sum(rows))
        second.assign(before)

    run(program_of(swap, batch_size=50))
    assert first.numpy().tolist() == [3, 4]
    assert second.numpy().tolist() == [1, 2]


def test_a_variable_that_is_looked_at_for_nothing_is_left_alone(native):
    large, seen = tf.Variable(tf.ones((1000,))), tf.Variable(0.0)

    def step(rows):
        tf.reduce_sum(large)
        seen.assign_add(tf.reduce_sum(rows))

    run(program_of(step))
    np.testing.assert_allclose(seen.numpy(), ROWS.sum(), rtol=1e-5)
    assert large.numpy().tolist() == [1.0] * 1000


def test_what_the_last_step_returns_is_returned(native):
    program = program_of(
        lambda rows: {"sum": tf.reduce_sum(rows), "none": None, "one": tf.constant(1.0)}
    )
    made = run(program)
    np.testing.assert_allclose(made["sum"].numpy(), ROWS[48:].sum(), rtol=1e-5)
    assert made["none"] is None
    assert made["one"].numpy() == 1


def test_an_index_beyond_its_table_is_an_error(native):
    table, seen = tf.Variable(tf.ones((3, 2))), tf.Variable(0.0)

    def step(rows):
        seen.assign(tf.reduce_sum(tf.gather(table, tf.cast(rows[:, 0] * 0 + 5, tf.int32))))

    with pytest.raises(tf.errors.InvalidArgumentError, match="the index 5 is none of 0 to 2"):
        run(program_of(step))
    assert seen.numpy() == 0


def test_an_order_of_other_rows_is_an_error(native):
    program = program_of(lambda rows: tf.reduce_sum(rows))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the order has row 50 of 50"):
        run(program, tf.range(1, 51))


def test_logs_that_are_no_numbers_are_refused(native):
    with pytest.raises(NotTaken, match="no single numbers"):
        program_of(lambda rows: rows)


def test_what_has_another_effect_is_not_left_out(native, tmp_path):
    total = tf.Variable(0.0)

    def scattering(rows):
        tf.raw_ops.ResourceScatterAdd(
            resource=total_of_rows.handle, indices=[0], updates=tf.reduce_sum(rows, 0)[None]
        )

    def printing(rows):
        tf.print(tf.reduce_sum(rows), output_stream=f"file://{tmp_path}/printed")
        total.assign_add(tf.reduce_sum(rows))

    def asserting(rows):
        tf.debugging.assert_less(tf.reduce_sum(rows), 1e9)
        total.assign_add(tf.reduce_sum(rows))

    total_of_rows = tf.Variable(tf.zeros((1, 6)))
    refused = {
        scattering: "the operation ResourceScatterAdd",
        printing: "the operation (StringFormat|PrintV2)",
        asserting: "a constant of the type object",  # the assertion's text
    }
    for step, message in refused.items():
        with pytest.raises(NotTaken, match=message):
            program_of(step)
