"""The Keras tutorial's autoencoder as a script, with the outputs of a tfae run.

It is the peer of `benchmarks.process`, and knows nothing of tfae.
"""

import argparse
import json
import time
from pathlib import Path


def main():
    """Train on a file like Keras' mnist.npz and leave the model, both figures and times.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, help=".npz file with x_train and x_test, uint8")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=1.0)
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)

    import keras
    import numpy as np

    from benchmarks import keras_model

    with np.load(options.rows) as file:
        x_train = file["x_train"].astype("float32") / 255.0
        x_test = file["x_test"].astype("float32") / 255.0

    keras.utils.set_random_seed(0)  # tfae's --seed 0 starts from the same weights
    features = x_train.shape[1]
    autoencoder = keras_model.build((features, 32, features), "adadelta", options.learning_rate)

    clock = keras_model.Clock()
    begin = time.perf_counter()
    history = autoencoder.fit(
        x_train,
        x_train,
        epochs=options.epochs,
        batch_size=256,
        shuffle=True,
        validation_data=(x_test, x_test),
        callbacks=[clock],
        verbose=2,
    ).history
    fit_s = time.perf_counter() - begin

    autoencoder.save(options.workdir / "model.keras")
    _plot(options.workdir, history, x_test[:10], autoencoder.predict(x_test[:10], verbose=0))
    times = {"train_s": fit_s, "epoch_s": clock.epoch_s, "val_loss": history["val_loss"][-1]}
    (options.workdir / "times.json").write_text(json.dumps(times))


def _plot(workdir, history, digits, rebuilt):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.plot(history["loss"], label="training")
    plt.plot(history["val_loss"], label="validation")
    plt.legend()
    plt.savefig(workdir / "loss.png")
    plt.figure(figsize=(20, 4))
    for column, pair in enumerate(zip(digits, rebuilt, strict=True)):
        for line, image in enumerate(pair):
            plt.subplot(2, len(digits), 1 + column + line * len(digits))
            plt.imshow(image.reshape(28, 28), cmap="gray")
            plt.axis("off")
    plt.savefig(workdir / "reconstructions.png")


if __name__ == "__main__":
    main()
