"""The assessment, against scikit-learn's PCA and plain numpy."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA
from tolerances import PCA_RTOL

from tfae.autoencoder import Autoencoder
from tfae.nn.spec import Stack
from tfae.runs.assess import assess, pca_error


@pytest.mark.parametrize("components", [1, 8, 60, 100])
def test_pca_error_is_that_of_scikit_learn(components):
    rng = np.random.default_rng(0)
    rows = (
        rng.normal(size=(500, 20)) @ rng.normal(size=(20, 60)) + rng.normal(size=60) * 5
    ).astype("f4")
    train, held_out = rows[:400], rows[400:]
    ours = pca_error(lambda: np.array_split(train, 3), np.array_split(held_out, 2), components)
    theirs = PCA(min(components, 60), svd_solver="full").fit(train.astype(np.float64))
    rebuilt = theirs.inverse_transform(theirs.transform(held_out))
    expected = np.square(rebuilt - held_out).mean()
    # Where every component is kept, only float32's rounding of rows of variance 20 is left.
    assert ours == pytest.approx(expected, rel=PCA_RTOL, abs=1e-9)


def test_errors_and_worst_rows_are_those_of_numpy(byte_rows):
    model = Autoencoder(Stack.mirrored(36, (4,)))
    train, validation = byte_rows[:500], byte_rows[500:].copy()
    validation[17] = np.arange(36) % 2 * 255  # unlike any other
    assessment = assess(model, tf.constant(train), tf.constant(validation))

    scaled = validation / 255
    rebuilt = model.reconstruct(tf.constant(validation)).numpy()
    errors = np.square(scaled - rebuilt).mean(axis=1)
    assert assessment.mse == pytest.approx(errors.mean(), rel=1e-5)
    assert assessment.worst_index[0] == 17
    np.testing.assert_array_equal(assessment.worst_index, np.argsort(-errors, kind="stable")[:10])
    np.testing.assert_allclose(assessment.worst[0], scaled[17], rtol=1e-6)
    np.testing.assert_allclose(assessment.examples, scaled[:10], rtol=1e-6)


def test_few_rows_and_many_features_are_assessed_all_the_same():
    rows = np.random.default_rng(0).random((4, 3000)).astype(np.float32)
    model = Autoencoder(Stack.mirrored(3000, (4,)))
    assessment = assess(model, tf.constant(rows), tf.constant(rows[:2]))
    assert assessment.pca_mse is None
    assert assessment.examples.shape == (2, 3000)
