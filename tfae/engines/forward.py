"""Layers forward, outside of training: the native kernels where they have been built."""

import functools

import tensorflow as tf

from tfae.kernels.library import load_built, run_layers


def native_forward():
    """A function of (inputs, params, activations, scaling), as `kernels.library.run_layers`.

    None where no kernels have been built, on a GPU, and while a function is traced: XLA cannot take
    the op.
    """
    native = load_built() if tf.executing_eagerly() else None
    return native and functools.partial(run_layers, native)
