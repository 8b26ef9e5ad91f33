"""Whether freshly built kernels compute what they should: a compiler may not."""

import itertools

import numpy as np

from tfae.kernels.compiler import KernelError
from tfae.nn.spec import ACTIVATIONS, LOSSES

ROWS, CODE = 37, 19  # not whole vectors
# Nor these: threads share rows of the first, columns of the second. Of bytes most are zero, which
# kernels walk past.
FEATURES = 50, 101
KINDS = np.float32, np.uint8
# Of sums of up to 101 products in float32, and of rounded factors in bfloat16.
RTOL = {"float32": 1e-5, "bfloat16": 2e-2}


def check(kernels):
    """Compare a step of gradient descent, on two threads, with float64 numpy.

    Raises:
        KernelError: A loss or a gradient differs by more than rounding.
    """
    for features, kind in itertools.product(FEATURES, KINDS):
        _check(kernels, features, kind)


def _check(kernels, features, kind):
    rng = np.random.default_rng(0)
    if kind == np.uint8:
        rows = rng.integers(1, 256, (ROWS, features), kind) * rng.binomial(1, 0.2, (ROWS, features))
    else:
        rows = rng.random((ROWS, features))
    rows = rows.astype(kind)
    params = [
        rng.uniform(-0.3, 0.3, shape).astype(np.float32)
        for shape in ((features, CODE), (CODE,), (CODE, features), (features,))
    ]
    loss, grads = _reference(rows.astype(np.float64) / (255 if kind == np.uint8 else 1), params)
    for compute in ("float32", "bfloat16") if kernels.has_bfloat16 else ("float32",):
        done = kernels.ops.tfae_train_epoch(
            rows=rows,
            order=np.arange(ROWS, dtype=np.int32),
            center=[],
            width=[],
            rates=[1.0],
            decays=[],
            params=params,
            slots=[],
            activations=[ACTIVATIONS.index(name) for name in ("relu", "sigmoid")],
            loss=LOSSES.index("binary_crossentropy"),
            compute=compute,
            optimizer="sgd",
            constants=[],
            clip_norm=0.0,
            batch_size=ROWS,
            threads=2,
        )
        steps = [old - new.numpy() for old, new in zip(params, done.new_params, strict=True)]
        for ours, exact in zip([done.mean_loss, *steps], [loss, *grads], strict=True):
            # At a rate of 1 a step is the gradient, which the weight's own rounding may hide.
            atol = RTOL[compute] * np.abs(exact).max() + 1e-7
            if not np.allclose(ours, exact, rtol=0, atol=atol):
                raise KernelError(f"the kernels compute wrong numbers in {compute}")


def _reference(rows, params):
    """The mean loss and its gradients in float64."""
    kernel, bias, kernel_out, bias_out = (param.astype(np.float64) for param in params)
    pre = rows @ kernel + bias
    codes = np.maximum(pre, 0)
    rebuilt = 1 / (1 + np.exp(-(codes @ kernel_out + bias_out)))
    loss = -np.mean(rows * np.log(rebuilt) + (1 - rows) * np.log(1 - rebuilt))
    slopes = (rebuilt - rows) / rows.size
    below = slopes @ kernel_out.T * (pre > 0)
    return loss, [rows.T @ below, below.sum(axis=0), codes.T @ slopes, slopes.sum(axis=0)]
