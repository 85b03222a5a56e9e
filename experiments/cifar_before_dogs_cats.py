"""What a small net can learn of CIFAR-10 before it sees dogs and cats: ten classes, in parts and places of all kinds.

Needs the corpus cifar10 in LAB_DATA. `dogs_cats_after_cifar.py` goes on with the weights of this run.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="cifar10",
    architecture=use("fast_resnet", pool="average"),
    loss="cross_entropy",
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=[
        "one_cycle",
        use("augment", pad=4, zoom=1.4, anywhere=True, cutout=8),
        use("ema", decay=0.995),
        use("look_inside", tta=True),
    ],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=14,
)
study = Study(base, seeds=1, compare="valid_accuracy")
