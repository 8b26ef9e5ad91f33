"""The dense models of the Keras blog's "Building Autoencoders in Keras", but for the one line."""

import keras
import numpy as np
import pytest
from tolerances import OTHER_ORDER_RTOL, PRODUCT_RTOL, RECONSTRUCTION_ATOL

import tfae

SIMPLE = """
encoded = layers.Dense(32, activation='relu')(input_img)
decoded = layers.Dense(784, activation='sigmoid')(encoded)
"""
SPARSE = """
encoded = layers.Dense(32, activation='relu',
                       activity_regularizer=regularizers.l1(10e-5))(input_img)
decoded = layers.Dense(784, activation='sigmoid')(encoded)
"""
SCRIPT = """
import keras
from keras import layers, regularizers
import tfae

input_img = keras.Input(shape=(784,))
{model}
autoencoder = keras.Model(input_img, decoded)
encoder = keras.Model(input_img, encoded)
autoencoder.compile(optimizer='adam', loss='binary_crossentropy')
history = {fit}x_train, x_train,
                epochs=3,
                batch_size=256,
                shuffle=True,
                validation_data=(x_test, x_test),
                verbose=0)
encoded_imgs = encoder.predict(x_test, verbose=0)
decoded_imgs = autoencoder.predict(x_test, verbose=0)
"""


@pytest.mark.parametrize("model", [SIMPLE, SPARSE])
def test_a_model_of_the_blog_trains_as_it_does_there(native, digits, model):
    train, test = (part[:3000].astype("float32") / 255.0 for part in digits)
    after = []
    for fit in ("tfae.fit(autoencoder, ", "autoencoder.fit("):
        keras.utils.set_random_seed(0)
        after.append({"x_train": train, "x_test": test})
        exec(SCRIPT.format(model=model, fit=fit), after[-1])
    ours, theirs = after
    assert ours["history"].params["engine"] == "fused"
    assert list(ours["history"].history) == list(theirs["history"].history)
    for name, losses in theirs["history"].history.items():
        assert ours["history"].history[name] == pytest.approx(losses, rel=OTHER_ORDER_RTOL), name
    codes = ours["encoded_imgs"]
    np.testing.assert_allclose(
        tfae.predict(ours["encoder"], test, verbose=0),
        codes,
        rtol=0,
        atol=PRODUCT_RTOL * codes.max(),
    )
    np.testing.assert_allclose(
        tfae.predict(ours["autoencoder"], test, verbose=0),
        ours["decoded_imgs"],
        rtol=0,
        atol=RECONSTRUCTION_ATOL,
    )
