"""How well a trained model rebuilds: its error, beside PCA's, and the rows it finds hardest."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfae.nn.network import scaled_inputs
from tfae.nn.scaling import chunks_of

EXAMPLES = 10  # pictures a row, as in the tutorial
PCA_FEATURE_LIMIT = 2048  # beyond it the eigenvectors take longer than the training


@dataclass(frozen=True)
class Assessment:
    """Errors and examples, all in scaled units (bytes from 0 to 1).

    Attributes:
        mse: Mean squared error over the validation rows.
        pca_mse: The same of PCA with as many components as the code has units, fitted on the
            training rows; None where there are too many features for it, or it would keep all.
        examples: The first validation rows, [n, D] float32, and `rebuilt`, their reconstructions.
        worst: The validation rows with the largest errors, [n, D], and `worst_rebuilt`.
        worst_index: Which rows those are, of the file or of its validation part, from 0, and
            `worst_mse`, their errors.
    """

    mse: float
    pca_mse: float | None
    examples: np.ndarray
    rebuilt: np.ndarray
    worst: np.ndarray
    worst_rebuilt: np.ndarray
    worst_index: np.ndarray
    worst_mse: np.ndarray


def assess(model, train, validation, validation_index=None):
    """The `Assessment` of an `Autoencoder`.

    Args:
        model: The trained `Autoencoder`.
        train: [N, D] training rows, a tensor or whatever else can be sliced.
        validation: [M, D] tensor of rows that were not trained on.
        validation_index: [M], which rows of the file they are; None where they are a part of it.
    """
    row_mse = np.concatenate(
        [np.square(_rebuild(model, chunk) - _scaled(model, chunk)).mean(axis=1)
         for chunk in chunks_of(validation)]
    )  # fmt: skip
    worst_index = np.argsort(-row_mse, kind="stable")[:EXAMPLES]
    examples, worst = validation[:EXAMPLES], tf.gather(validation, worst_index)
    pca_mse = None
    if model.stack.code_size < model.stack.features <= PCA_FEATURE_LIMIT:
        pca_mse = pca_error(
            lambda: (_scaled(model, chunk) for chunk in chunks_of(train)),
            (_scaled(model, chunk) for chunk in chunks_of(validation)),
            model.stack.code_size,
        )
    return Assessment(
        mse=float(row_mse.mean(dtype=np.float64)),
        pca_mse=pca_mse,
        examples=_scaled(model, examples),
        rebuilt=_rebuild(model, examples),
        worst=_scaled(model, worst),
        worst_rebuilt=_rebuild(model, worst),
        worst_index=worst_index if validation_index is None else validation_index[worst_index],
        worst_mse=row_mse[worst_index],
    )


def _scaled(model, rows):
    return scaled_inputs(tf.convert_to_tensor(rows), model.scaling).numpy()


def _rebuild(model, rows):
    return model.scaling.apply(model.reconstruct(tf.convert_to_tensor(rows))).numpy()


def pca_error(train_chunks, validation_chunks, components):
    """The mean squared error of rows rebuilt from their principal components.

    Args:
        train_chunks: A function that gives an iterable of float32 arrays [n, D].
        validation_chunks: The same, once, of the rows to rebuild.
        components: How many are kept; all of them where the rows have no more features.
    """
    count, total, products = 0, 0.0, 0.0
    for chunk in train_chunks():
        count += len(chunk)
        total = total + chunk.sum(axis=0, dtype=np.float64)
    mean = (total / count).astype(np.float32)
    for chunk in train_chunks():
        centered = chunk - mean
        products = products + (centered.T @ centered).astype(np.float64)
    _, vectors = np.linalg.eigh(products)  # eigenvalues ascend
    basis = vectors[:, ::-1][:, :components].astype(np.float32)  # [D, Z]
    count, squares = 0, 0.0
    for chunk in validation_chunks:
        centered = chunk - mean
        squares += np.square(centered - centered @ basis @ basis.T).sum(dtype=np.float64)
        count += chunk.size
    return float(squares / count)
