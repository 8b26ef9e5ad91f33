"""From rows to the compiled step: a tf.data.Dataset of (rows, order).

Rows that fit in memory are one resident tensor, and an element is an epoch: that same tensor and a
permutation. Rows that do not are read from disk in blocks, an element each, and the permutation is
the block's. Either way the next element is made while the previous one trains, and every order
follows from (seed, epoch, block) alone, so that a resumed run sees what it would have seen.
"""

import numpy as np
import tensorflow as tf


class Feed:
    """The training rows, as often and in whatever order the epochs want them.

    Args:
        rows: [N, D] uint8 or float32, an array or `RowsOnDisk`.
        seed: Of the orders.
        batch_size: Blocks are cut to a multiple of it, so that only an epoch's last batch is short.
        block_rows: Rows a block; 0 takes an array whole and rows on disk 65,536 at a time.
        shuffle: False keeps the rows in their own order.

    Attributes:
        rows: The rows as they are kept: a resident tensor, or what was given.
        row_count: N.
        blocks: How many elements make an epoch.
    """

    DEFAULT_BLOCK_ROWS = 65_536

    def __init__(self, rows, seed, batch_size, block_rows=0, shuffle=True):
        self.row_count = rows.shape[0]
        self._seed = seed
        self._shuffle = shuffle
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

    def epochs(self, first, last):
        """The elements (rows, order) of epochs `first` to `last`, counted from 1, inclusive.

        Returns:
            A tf.data.Dataset: rows [n, D] in their own dtype and a permutation [n] int32.
        """
        count = (last - first + 1) * self.blocks
        start = (first - 1) * self.blocks
        elements = tf.data.Dataset.range(start, start + count)
        elements = elements.map(self._element, num_parallel_calls=1, deterministic=True)
        return elements.prefetch(1)

    def _element(self, index):
        epoch, position = index // self.blocks, index % self.blocks
        if self._resident:
            return self.rows, self._order(epoch, position, self.row_count)
        # The last block, which may be short, stays last: the short batch is an epoch's last.
        shuffled = self._permutation((epoch, -1), self.blocks - 1)
        block = tf.concat([shuffled, [self.blocks - 1]], 0)[position]
        rows = tf.numpy_function(self._read, [block], self._dtype)
        return rows, self._order(epoch, position, tf.shape(rows)[0])

    def _read(self, block):
        start = int(block) * self._block_rows
        return self.rows[start : start + self._block_rows]

    def _order(self, epoch, position, count):
        return self._permutation((epoch, position), count)

    def _permutation(self, key, count):
        """A permutation [count] int32 that follows from the seed and the key alone."""
        if not self._shuffle:
            return tf.range(count)
        seed = tf.random.experimental.stateless_fold_in(
            tf.constant([self._seed, 0], tf.int64), tf.cast(key[0], tf.int64)
        )
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(key[1], tf.int64))
        return tf.random.experimental.stateless_shuffle(tf.range(count), seed)
