"""How much of inference between sentences needs both of them? Pairs, both as one text, and either text alone.

Nothing is downloaded: an English and a French question, and the class says whether one translates the other, so one
text alone tells nothing. With LAB_DATA set, `--set dataset=snli` asks it of SNLI, whose hypotheses alone tell much
(Gururangan et al. 2018, arXiv:1803.02324).
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="embedded_pairs",
    architecture=use("text_classifier", encoder=use("text_cnn", filters=50), pooling="max"),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle", "look_at_texts"],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    epochs=4,
)

study = Study(base, seeds=3, compare="valid_accuracy").swap(
    "dataset.pair", {"as one text": "joined", "first only": "first", "second only": "second"}
)
