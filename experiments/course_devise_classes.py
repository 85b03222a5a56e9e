"""The rival of `course_devise`: the same net on the same eight classes of CIFAR-10, with cross-entropy, without words.

Its `valid_accuracy` stands beside the other's `valid_hit`. Needs the corpus cifar10 in LAB_DATA.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("cifar10", held_out=["deer", "truck"]),
    architecture=use("fast_resnet", widths=[24, 48, 96, 192]),
    loss="cross_entropy",
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=["one_cycle", "augment"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=10,
)
study = Study(base, seeds=3, compare="valid_accuracy")
