"""How should a net that answers with word vectors be told how far off it is: by angle, difference, rank, or class?

DeViSE (Frome et al. 2013; fast.ai 2018, lesson 11). Nothing is downloaded: scikit-learn's digits with their names,
and word vectors that fastText learns of the embedded English text. The last two classes are never trained, and
`test_hit` says whether they are told apart, by chance 0.5. On other pictures, with LAB_DATA set:

    lab run experiments/cos_vs_l1.py --set dataset.images=cifar10
    lab run experiments/course_devise.py
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("devise", images=use("digits"), held_out=2),
    architecture=use("fast_resnet", widths=[16, 32, 64]),
    loss="cos_loss",
    optimizer="adamw",
    callbacks=["one_cycle", "search_page"],
    metrics=["hit"],
    lr=5e-3,
    batch_size=64,
    valid_batch_size=500,
    epochs=6,
)
study = Study(base, seeds=3, compare="valid_hit").swap(
    "loss",
    {"L1": "vector_l1", "L2": "vector_l2", "hinge rank": "hinge_rank", "softmax": "cosine_softmax"},
)
