"""Which pooling makes one vector of the words of a text: the maximum, the mean, the last word, or attention?

Nothing is downloaded: in half of the generated questions two neighboring words changed places, somewhere in the text.
`--set dataset.path=mine.csv` is a file of yours; with LAB_DATA set, there are
`--set dataset=sst2`, `movie_reviews` and `snli`.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("labelled_text", corpus="embedded"),
    architecture=use("text_classifier", encoder=use("text_cnn", filters=50), pooling="max"),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=64,
    epochs=4,
)

study = Study(base, seeds=3, compare="valid_accuracy").swap(
    "architecture.pooling", ["mean", "last", "concat", "attention"]
)
