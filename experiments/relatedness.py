"""How related are two sentences, from 1 to 5? SICK: the cosine of two vectors, or a network on both.

Needs LAB_DATA.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("sick", target="number", vectors=use("text_vectors", path="word_vectors/glove.6B.50d.subset.txt")),
    architecture=use("text_classifier", encoder="birnn", pooling="max", head_size=50, dropout=0.2),
    loss="mse",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["pearson", "spearman", "mse"],
    lr=3e-3,
    batch_size=32,
    epochs=8,
)

study = Study(base, seeds=5, compare="test_pearson", selection="valid").swap(
    "architecture",
    {
        "words": use("text_classifier", pooling="max", head_size=50, dropout=0.2),
        "cosine of words": use("text_similarity", pooling="max"),
    },
)
