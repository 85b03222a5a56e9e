"""Do pretrained word vectors help: none, as a start, frozen, or frozen beside trained ones?

Needs LAB_DATA with `word_vectors/glove.6B.50d.subset.txt`; `--set dataset.vectors.path=...` names another file and
`--set dataset.corpus=sst2` another corpus.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("snli", vectors=use("text_vectors", path="word_vectors/glove.6B.50d.subset.txt")),
    architecture=use("text_classifier", encoder=use("text_cnn", filters=50), pooling="max"),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=2e-3,
    batch_size=64,
    epochs=4,
)

study = (
    Study(base, seeds=3, compare="valid_accuracy")
    .swap("dataset.vectors", {"no vectors": None})
    .swap("architecture.embeddings", {"frozen": "frozen", "frozen and trained": "both"})
)
