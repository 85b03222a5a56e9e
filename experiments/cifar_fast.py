"""The most accuracy per minute on CIFAR-10: a small residual net, one cycle, variations, mix-up, averaged weights.

Nothing is downloaded: scikit-learn's digits. On CIFAR-10, with LAB_DATA set:

    lab run experiments/cifar_fast.py --set dataset=cifar10 --set callbacks.augment.flips=true --epochs 20
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("digits", size=16),
    architecture="fast_resnet",
    loss="cross_entropy",
    stepper=use("mix_up", alpha=0.2),
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=["one_cycle", use("augment", pad=2, flips=False), use("ema", decay=0.995), use("look_inside", tta=True)],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=4,
)
study = Study(base, seeds=1, compare="valid_accuracy").swap("stepper", {"without mix-up": "supervised"})
