"""From rows to the compiled step: pairs of (rows, order), which tf.data makes ahead.

Rows that fit in memory are one resident tensor, and an element is an epoch: that same tensor and a
permutation. Rows that do not are read from disk in blocks, an element each, and the permutation is
the block's. Either way the next element is made while the previous one trains, and every order
follows from (seed, epoch, block) alone, so that a resumed run sees what it would have seen.
"""

import itertools

import numpy as np
import tensorflow as tf

from tfae.nn.randomness import generator


class Feed:
    """The training rows, as often and in whatever order the epochs want them.

    Args:
        rows: [N, D] uint8 or float32, an array or `RowsOnDisk`.
        seed: Of the orders.
        batch_size: Blocks are cut to a multiple of it, so that only an epoch's last batch is short.
        block_rows: Rows a block; 0 takes an array whole and rows on disk 65,536 at a time.

    Attributes:
        rows: The rows as they are kept: a resident tensor, or what was given.
        row_count: N.
        blocks: How many elements make an epoch.
    """

    DEFAULT_BLOCK_ROWS = 65_536

    def __init__(self, rows, seed, batch_size, block_rows=0):
        self.row_count = rows.shape[0]
        self._seed = seed
        resident = isinstance(rows, np.ndarray)
        block_rows = block_rows or (self.row_count if resident else self.DEFAULT_BLOCK_ROWS)
        if block_rows < self.row_count:
            block_rows = max(block_rows // batch_size, 1) * batch_size
        self._block_rows = min(block_rows, self.row_count)
        self.blocks = -(-self.row_count // self._block_rows)
        self._dtype = tf.as_dtype(rows.dtype)
        # Bytes stay bytes until they are inside the compiled step.
        self._resident = resident and self.blocks == 1
        self.rows = tf.constant(rows) if self._resident else rows

    def epochs(self, first, last, at_once=1):
        """The elements (rows, order) of epochs `first` to `last`, counted from 1, inclusive.

        Args:
            first, last: The epochs.
            at_once: How many elements are taken together, and so are made ahead.

        Returns:
            An iterable: rows [n, D] in their own dtype and a permutation [n] int32.
        """
        if self._resident:
            # Rows that went through tf.data would leave a GPU, and be copied there every epoch.
            return zip(
                itertools.repeat(self.rows),
                orders(self.row_count, self._seed, first, last, at_once),
                strict=False,
            )
        blocks = tf.data.Dataset.range((first - 1) * self.blocks, last * self.blocks)
        return _ahead(blocks, self._block)

    def _block(self, index):
        def block(index):
            epoch, position = divmod(index, self.blocks)
            # The last block, which may be short, stays last: the short batch is an epoch's last.
            if position < self.blocks - 1:
                blocks = generator(self._seed, "blocks", int(epoch)).permutation(self.blocks - 1)
                start = self._block_rows * int(blocks[position])
            else:
                start = self._block_rows * int(position)
            rows = self.rows[start : start + self._block_rows]
            return rows, _permutation(len(rows), self._seed, epoch, position)

        return tf.numpy_function(block, [index], (self._dtype, tf.int32))


def orders(row_count, seed, first, last, at_once=1):
    """The orders of epochs `first` to `last` over resident rows, counted from 1, inclusive.

    Args:
        at_once: How many are taken together, and so are made ahead.

    Returns:
        A tf.data.Dataset of permutations [N] int32.
    """

    def order(epoch):
        made = tf.numpy_function(
            lambda epoch: _permutation(row_count, seed, epoch, 0), [epoch], tf.int32
        )
        return tf.ensure_shape(made, (row_count,))

    return _ahead(tf.data.Dataset.range(first - 1, last), order, at_once)


def _ahead(elements, make, at_once=1):
    """What `make` makes of the elements, so many ahead of where it is read."""
    # AutoGraph would find nothing to convert, and leave the file of its attempt in the temporary
    # directory where the process is killed.
    make = tf.autograph.experimental.do_not_convert(make)
    made = elements.map(make, num_parallel_calls=1, deterministic=True).prefetch(at_once)
    options = tf.data.Options()
    # There is nothing to optimise, and to look for it takes a tenth of an epoch; nor to tune, and
    # the tuner's thread may sleep on for seconds after the last element, while whoever drops the
    # iterator waits for it.
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return made.with_options(options)


def _permutation(count, seed, *counters):
    """[count] int32; numpy's takes a tenth of the time of TensorFlow's stateless shuffle."""
    order = np.arange(count, dtype=np.int32)
    generator(seed, "order", *map(int, counters)).shuffle(order)
    return order
