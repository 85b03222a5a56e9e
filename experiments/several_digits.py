"""Pictures with several digits: should the network rather name one too many, or miss one?

Multi-label classification as in lesson 3 of fast.ai 2019, which scores satellite pictures by F2 of each picture with a
threshold of 0.2: recall counts more than precision. Base: a sigmoid per digit and a plain loss; arms: digits that are
there count three or ten times in the loss. The lower threshold of the metric does the same after the training.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("digit_sets", cells=2, most=3),
    architecture=use("course_net", widths=[32, 64], stem=3, norm="batch", pool="max"),
    loss="bce",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=[
        use("multilabel_f1", average="examples", beta=2.0, threshold=0.2),
        "multilabel_accuracy",
    ],
    lr=1e-2,
    batch_size=64,
    valid_batch_size=500,
    epochs=6,
)
study = Study(base, seeds=3, compare="valid_multilabel_f1").swap(
    "loss", {"three times": use("bce", positive_weight=3.0), "ten times": use("bce", positive_weight=10.0)}
)
