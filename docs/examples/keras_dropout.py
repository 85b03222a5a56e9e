"""Does dropout help a small network on noisy labels? Keras 3 on torch."""

import os

import lab
from lab import Study, use

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported


def train(*, dropout: float = 0.0, width: int = 64, epochs: int = 4, run: lab.TaskRun) -> dict[str, float]:
    """Train a network with Keras and return the metrics of its last epoch."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(run.seed)
    points = np.random.default_rng(0).normal(size=(600, 8)).astype("float32")
    labels = (points.sum(1) > 0).astype("int64")
    noisy = np.where(np.random.default_rng(1).random(400) < 0.2, 1 - labels[:400], labels[:400])
    model = keras.Sequential(
        [keras.layers.Dense(width, "relu"), keras.layers.Dropout(dropout), keras.layers.Dense(2, "softmax")]
    )
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])

    def log(epoch: int, logs: dict[str, float]) -> None:
        run.log(epoch=epoch, **{name.replace("val_", "valid_"): value for name, value in logs.items()})

    model.fit(
        points[:400],
        noisy,
        validation_data=(points[400:], labels[400:]),
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=log)],
    )
    return {name: value for name, value in run.history[-1].items() if name.startswith("valid_")}


study = Study(use(train), seeds=3, compare="valid_accuracy", higher_is_better=True).swap("dropout", {"dropout": 0.5})
