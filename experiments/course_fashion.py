"""Fashion-MNIST: LeNet as in *Dive into Deep Learning*, and a small residual net.

Needs the corpus fashion_mnist in LAB_DATA. The book's LeNet, with sigmoids and plain descent, reaches 0.779 in ten
epochs.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="fashion_mnist",
    architecture=use("lenet", activation="relu", pool="max"),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle", "look_inside"],
    metrics=["accuracy"],
    lr=4e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=10,
)
study = Study(base, seeds=1, compare="valid_accuracy").swap(
    "architecture", {"small residual net": use("fast_resnet", widths=[24, 48, 96])}
)
