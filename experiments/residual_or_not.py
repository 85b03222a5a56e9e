"""Do short ways help, and does that depend on how deep a net is?

He et al. 2016. Nothing is downloaded: scikit-learn's digits; --set dataset=cifar10 with LAB_DATA set.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="digits",
    architecture=use("course_net", widths=[8, 16, 32], stem=3, norm="batch", norm_place="before"),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    valid_batch_size=500,
    epochs=4,
)
study = Study(base, seeds=3).grid({"architecture.further": [2, 6, 10], "architecture.residual": [False, True]})
