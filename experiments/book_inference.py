"""Does decomposable attention use the premise? SNLI, as in Dive into Deep Learning 15.5, beside its hypotheses alone.

The book trains on 549,367 pairs with GloVe; here are the 9,842 pairs of the part `dev`, a tenth of its premises held
out, the 9,824 pairs of the part `test`, and vectors of 2,445 frequent words. Needs LAB_DATA.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("snli", min_freq=3, vectors=use("text_vectors", path="word_vectors/glove.6B.50d.subset.txt")),
    architecture=use("decomposable_attention", hidden_size=100),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=2e-3,
    batch_size=32,
    epochs=8,
)

words = use("text_classifier", encoder="bag_of_words", pooling="max", reads="second")
study = Study(base, seeds=5, compare="test_accuracy", selection="valid").swap(
    "architecture",
    {
        "hypothesis only, words": words,
        "hypothesis only, textCNN": use("text_classifier", encoder="text_cnn", pooling="max", reads="second"),
    },
)
