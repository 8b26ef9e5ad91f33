"""What the engines are held against: a stack in float64 numpy, written out by hand; and rows."""

import ml_dtypes
import numpy as np


def numpy_gradients(params, rows, loss, rounded=lambda x: x):
    """(loss, gradients) of a tanh stack with a sigmoid output, in float64.

    `rounded` is what a mixed precision does to each product's inputs.
    """
    params = [param.astype(np.float64) for param in params]
    rows = rows.astype(np.float64)
    inputs, hidden = [], rows
    kernels, biases = params[::2], params[1::2]
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        inputs.append(hidden)
        pre = rounded(hidden) @ rounded(kernel) + bias
        hidden = np.tanh(pre) if layer < len(kernels) - 1 else 1 / (1 + np.exp(-pre))
    if loss == "binary_crossentropy":
        value = -np.mean(rows * np.log(hidden) + (1 - rows) * np.log(1 - hidden))
        upstream = (hidden - rows) / rows.size
    else:
        value = np.mean((hidden - rows) ** 2)
        upstream = 2 * (hidden - rows) * hidden * (1 - hidden) / rows.size
    grads = []
    for layer in reversed(range(len(kernels))):
        grads += [upstream.sum(axis=0), rounded(inputs[layer]).T @ rounded(upstream)]
        upstream = rounded(upstream) @ rounded(kernels[layer]).T * (1 - inputs[layer] ** 2)
    return value, grads[::-1]


def bfloat16(x):
    """Rounded to it."""
    return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def rows_with_zeros(count, features, zeros, dtype, seed=0):
    """Rows of which a part is zero.

    Where that is most, a tenth of the columns is never zero, and of floats never positive, and
    another tenth always zero, though not the same in the last rows as in those before.
    """
    rng = np.random.default_rng(seed)
    kept = rng.random((count, features)) >= zeros
    if zeros > 0.5:
        tenth = features // 10
        kept[:, :tenth] = True
        kept[: count // 2, tenth : 2 * tenth] = False
        kept[count // 2 :, -tenth:] = False
    values = rng.integers(1, 256, (count, features)) if dtype == "uint8" else rng.random(kept.shape)
    if zeros > 0.5 and dtype == "float32":
        values[:, :tenth] *= -1
    return (values * kept).astype(dtype)
