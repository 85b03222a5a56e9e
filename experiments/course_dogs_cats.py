"""Dogs and cats from 1,000 pictures and nothing else: how far does a small net come from scratch?

Needs the corpus dogs_cats in LAB_DATA. The report shows where the net looked: on the animal hardly more often than by
chance; `dogs_cats_after_cifar.py` does better.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("dogs_cats", size=96),
    architecture=use(
        "course_net",
        widths=[16, 32, 64, 128, 256],
        stem=3,
        further=1,
        residual=True,
        norm="batch",
        norm_place="before",
        pool="average",
    ),
    loss="cross_entropy",
    stepper=use("mix_up", alpha=0.3),
    optimizer=use("adamw", weight_decay=0.1),
    callbacks=[
        "one_cycle",
        use("augment", pad=8, degrees=10.0, zoom=1.2, lighting=0.2, cutout=24),
        use("look_inside", tta=True),
    ],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=32,
    valid_batch_size=200,
    epochs=60,
)
study = Study(base, seeds=1, compare="valid_accuracy")
