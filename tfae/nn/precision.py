"""What is computed in which dtype: float32, mixed_bfloat16, mixed_float16.

Weights, slots, losses and reductions are float32 under every policy. A mixed policy rounds the
inputs of each matrix product to its compute dtype and accumulates the products in float32.
float16 has a narrow range of exponents, so its gradients are computed of a scaled loss.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from tfae.host.environment import visible_gpus

INITIAL_LOSS_SCALE = 2.0**15
LOSS_SCALE_GROWTH_STEPS = 2000


@dataclass(frozen=True)
class Precision:
    """A policy: the dtype of the products' inputs, and whether the loss is scaled."""

    name: str
    compute_dtype: tf.DType
    scales_loss: bool = False

    def matmul(self, a, b):
        """`a` [B, I] times `b` [I, O], both float32, as [B, O] float32; differentiable.

        The two products of the gradient round their inputs in the same way. It runs inside a
        compiled function only: TensorFlow's plain kernels have no half product with a float32
        result.
        """

        @tf.custom_gradient
        def rounded(a, b):
            a, b = tf.cast(a, self.compute_dtype), tf.cast(b, self.compute_dtype)

            def gradient(upstream):
                upstream = tf.cast(upstream, self.compute_dtype)
                return _product(upstream, b, transpose_b=True), _product_of_columns(a, upstream)

            return _product(a, b), gradient

        return rounded(a, b)


def _product(a, b, **transpose):
    return tf.matmul(a, b, output_type=tf.float32, **transpose)


def _product_of_columns(a, b):
    """`a`' [I, B] times `b` [B, O], of `a` [B, I]: the gradient of a kernel.

    XLA folds any transpose it can see into the product. On a GPU that costs nothing; a CPU's
    product reads `a` by columns at two thirds of its speed. There the gradient of a tall kernel is
    computed transposed, of `b` turned round behind XLA's back. For a wide one, whose `a` is the
    narrow one, turning it round takes the time that the product saves.
    """
    if not gives_transposed((a.shape[1], b.shape[1])):
        return _product(a, b, transpose_a=True)
    return tf.transpose(_product(_kept(tf.transpose(b)), a))


def gives_transposed(shape):
    """Whether the gradient of a kernel of that shape comes transposed out of its product."""
    return shape[0] > shape[1] and not visible_gpus()


def _kept(tensor):
    """The tensor itself, which XLA has to store as it is: it folds nothing through."""
    return xla.optimization_barrier(tensor)[0]


PRECISIONS = {
    "float32": Precision("float32", tf.float32),
    "mixed_bfloat16": Precision("mixed_bfloat16", tf.bfloat16),
    "mixed_float16": Precision("mixed_float16", tf.float16, scales_loss=True),
}


class LossScale(NamedTuple):
    """The dynamic loss scale: `value` float32, and two int64 counts."""

    value: tf.Tensor
    good_steps: tf.Tensor
    skipped_steps: tf.Tensor

    def updated(self, finite):
        """The scale after a step: doubled after 2,000 good steps in a row, halved after a bad one.

        Args:
            finite: Scalar bool, whether every gradient of the step was finite.
        """
        grow = tf.equal(self.good_steps, LOSS_SCALE_GROWTH_STEPS - 1)
        good_value = tf.where(grow, self.value * 2.0, self.value)
        good_steps = tf.where(grow, tf.zeros_like(self.good_steps), self.good_steps + 1)
        return LossScale(
            tf.where(finite, good_value, self.value / 2.0),
            tf.where(finite, good_steps, tf.zeros_like(self.good_steps)),
            self.skipped_steps + tf.cast(~finite, tf.int64),
        )


def initial_loss_scale():
    """The state that a run starts from."""
    return LossScale(
        tf.constant(INITIAL_LOSS_SCALE), tf.constant(0, tf.int64), tf.constant(0, tf.int64)
    )


def all_finite(tensors):
    """Scalar bool: whether every element of every tensor is finite."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])
