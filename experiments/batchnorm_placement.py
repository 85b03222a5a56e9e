"""Batch norm before ReLU, after it, or not at all? The ablation that the course says the paper lacked.

fast.ai 2018, lesson 7. Nothing is downloaded: scikit-learn's digits. On real pictures, with LAB_DATA set, one of:

    lab run experiments/batchnorm_placement.py --set dataset=cifar10
    lab run experiments/batchnorm_placement.py --set dataset=fashion_mnist
    lab run experiments/batchnorm_placement.py --set dataset=dogs_cats
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="digits",
    architecture=use("course_net", widths=[16, 32, 64], stem=3, further=1, norm="batch", norm_place="after"),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle", "look_inside"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=64,
    valid_batch_size=500,
    epochs=5,
)
study = (
    Study(base, seeds=5)
    .swap("architecture.norm_place", {"before ReLU": "before"})
    .swap("architecture.norm", {"none": "none"})
)
