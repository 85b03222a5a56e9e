"""Which encoder classifies texts best: a bag of words, a recurrent network, or convolutions?

Nothing is downloaded: in half of the generated questions two neighboring words changed places, which a bag of words
cannot tell. `--set dataset.path=mine.csv` is a file of yours; with LAB_DATA set, there are
`--set dataset=sst2`, `movie_reviews` and `snli`.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("labelled_text", corpus="embedded"),
    architecture=use("text_classifier", encoder="bag_of_words", pooling="max"),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle", "look_at_texts"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=64,
    epochs=4,
)

study = Study(base, seeds=3, compare="valid_accuracy").swap(
    "architecture.encoder", {"BiRNN": "birnn", "textCNN": use("text_cnn", filters=50)}
)
