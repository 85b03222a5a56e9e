"""The top of the course's ladder on CIFAR-10: its `resnet2` with varied pictures, and with variations when it is
judged.

Needs the corpus cifar10 in LAB_DATA. fast.ai 2018, lesson 7, has 84.9 % with all 50,000 pictures; here are 15,000.
Batch norm is torch's, which gives the same numbers faster.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="cifar10",
    architecture=use("resnet2", norm="batch"),
    loss="cross_entropy",
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=["one_cycle", "augment", use("look_inside", tta=True)],
    metrics=["accuracy"],
    lr=4e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=25,
)
study = Study(base, seeds=1, compare="valid_accuracy")
