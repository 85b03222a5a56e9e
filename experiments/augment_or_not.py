"""How much do random shifts and flips of the training pictures help, with the same number of epochs?

*Dive into Deep Learning*, 13.1. Nothing is downloaded: scikit-learn's digits, which are shifted but not mirrored. On
CIFAR-10, with LAB_DATA set:

    lab run experiments/augment_or_not.py --set dataset=cifar10 --set callbacks.augment.flips=true \\
        --set callbacks.augment.pad=4 --epochs 10
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("digits", size=16),
    architecture=use("fast_resnet", widths=[16, 32, 64, 128]),
    loss="cross_entropy",
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=["one_cycle", use("augment", pad=1, flips=False)],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=6,
)
study = Study(base, seeds=5, compare="valid_accuracy").remove("callbacks.augment")
