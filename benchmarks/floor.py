"""The arithmetic floor: the time of the matrix products alone at the rate a large one reaches."""

from benchmarks.harness import timed

SIZE = 2048
SIZE_ON_GPU = 8192  # takes long beside the call
REPEATS = 8


class MatmulRate:
    """Products of large matrices, over and over.

    Args:
        dtype: Of their elements, by name.
    """

    def __init__(self, dtype="float32"):
        import tensorflow as tf  # here, in a process of its own

        from tfae.host.environment import visible_gpus

        self._size = size = SIZE_ON_GPU if visible_gpus() else SIZE
        matrix = tf.random.normal((size, size), stddev=size**-0.5)  # products stay of its size
        matrix = tf.cast(matrix, dtype)
        # One number comes to the host, not a matrix.
        self._one = lambda: float(tf.matmul(matrix, matrix)[0, 0])
        self.flop_per_s()

    def flop_per_s(self):
        """Floating-point operations a second, the best of some, by all of TensorFlow's threads."""
        return 2 * self._size**3 / min(timed(self._one)[1] for _ in range(REPEATS))


def epoch_flops(stack, rows):
    """Of an epoch's products: 3 a layer, but for the gradient of the first layer's input.

    Args:
        stack: The `Stack`; 784-32-784 has 5 products.
        rows: N.
    """
    sizes = [inputs * outputs for inputs, outputs in stack.layer_shapes]
    return 2 * rows * (3 * sum(sizes) - sizes[0])
