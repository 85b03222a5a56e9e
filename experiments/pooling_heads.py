"""How should the last features of a net become one row: by their largest value, their mean, or both?

fast.ai's heads take both. Nothing is downloaded: scikit-learn's digits; --set dataset=cifar10 with LAB_DATA set.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("digits", size=16),
    architecture=use("fast_resnet", widths=[16, 32, 64], pool="concat"),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=64,
    valid_batch_size=500,
    epochs=4,
)
study = Study(base, seeds=5).swap("architecture.pool", {"max": "max", "average": "average"})
