"""Does one sentence follow from another? SICK: aligned word by word, compared as two vectors, or by shared n-grams.

Needs LAB_DATA. `--set dataset.corpus=rte` asks it of the first three RTE challenges, `--set dataset.corpus=snli` of
SNLI. The vectors are of 2,445 frequent words. The strength of TF-IDF was chosen on the validation pairs.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("sick", vectors=use("text_vectors", path="word_vectors/glove.6B.50d.subset.txt")),
    architecture=use("decomposable_attention", hidden_size=100),
    stepper="fit_or_step",
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle", "look_at_texts"],
    metrics=["accuracy"],
    lr=2e-3,
    batch_size=32,
    epochs=10,
)

study = Study(base, seeds=5, compare="test_accuracy", selection="valid").swap(
    "architecture",
    {
        "words, two vectors": use("text_classifier", pooling="mean", head_size=100),
        "BiRNN, two vectors": use("text_classifier", encoder="birnn", pooling="max", head_size=100),
        "n-grams, TF-IDF": use("tfidf_logistic", strength=3.0),
    },
)
