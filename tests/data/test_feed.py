"""The feed: every row once an epoch, orders that follow from the seed, blocks from disk."""

import numpy as np
import pytest

from tfae.data.feed import Feed


def rows_of(count):
    """Rows [count, 3] that carry their own number."""
    return np.repeat(np.arange(count, dtype=np.float32)[:, None], 3, axis=1)


def epoch_of(elements):
    """The rows' numbers in the order in which one epoch trains on them."""
    return np.concatenate([rows.numpy()[order.numpy(), 0] for rows, order in elements])


@pytest.mark.parametrize("block_rows", [0, 300])
def test_an_epoch_has_every_row_once_in_an_order_of_its_own(block_rows):
    feed = Feed(rows_of(1000), seed=1, batch_size=64, block_rows=block_rows)
    elements = list(feed.epochs(1, 3))
    epochs = [epoch_of(elements[i * feed.blocks : (i + 1) * feed.blocks]) for i in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(1000))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])


@pytest.mark.parametrize("block_rows", [0, 300])
def test_orders_do_not_depend_on_where_a_run_began(block_rows):
    feed = Feed(rows_of(1000), seed=1, batch_size=64, block_rows=block_rows)
    whole = epoch_of(list(feed.epochs(1, 5))[3 * feed.blocks :])
    resumed = epoch_of(Feed(rows_of(1000), 1, 64, block_rows).epochs(4, 5))
    np.testing.assert_array_equal(whole, resumed)


def test_another_seed_gives_another_order():
    first, second = (epoch_of(Feed(rows_of(100), seed, 64).epochs(1, 1)) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_rows_that_fit_stay_one_resident_tensor():
    """An epoch hands out the tensor, on whatever device that is, not a copy of it."""
    feed = Feed(np.zeros((1000, 64), np.uint8), 0, 64)
    assert all(rows is feed.rows for rows, _ in feed.epochs(1, 3))


def test_bytes_stay_bytes():
    rows = np.zeros((10, 3), np.uint8)
    (resident, _), *_ = Feed(rows, 0, 4).epochs(1, 1)
    (block, _), *_ = Feed(rows, 0, 4, block_rows=4).epochs(1, 1)
    assert resident.dtype == block.dtype == np.uint8


def test_blocks_are_whole_batches_so_that_only_the_last_batch_is_short():
    feed = Feed(rows_of(1000), seed=0, batch_size=64, block_rows=300)
    for start in range(0, 3 * feed.blocks, feed.blocks):
        sizes = [len(order) for _, order in list(feed.epochs(1, 3))[start : start + feed.blocks]]
        assert sizes == [256, 256, 256, 232]


def test_a_row_lands_in_the_first_batch_about_as_often_as_any_other():
    """A shuffle that moves rows by little would leave a row where it lay."""
    feed = Feed(rows_of(64), seed=0, batch_size=8)
    first_batches = np.concatenate([order.numpy()[:8] for _, order in feed.epochs(1, 400)])
    counts = np.bincount(first_batches, minlength=64)
    # 400 epochs x 1/8: 50 expected, deviation 6.6; five deviations of 64 rows is beyond chance.
    assert counts.min() > 50 - 33
    assert counts.max() < 50 + 33
