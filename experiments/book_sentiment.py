"""textCNN or BiRNN on SST-2, as in Dive into Deep Learning 15.2 and 15.3, beside TF-IDF.

Kim 2014 (arXiv:1408.5882) reports 82.7 % for random embeddings, trained on phrases and tested on sentences. Needs
LAB_DATA.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="sst2",
    architecture="tfidf_logistic",
    stepper="fit_or_step",
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    metrics=["accuracy"],
    callbacks=["one_cycle"],
    lr=2e-3,
    batch_size=128,
    epochs=3,
)

study = Study(base, seeds=5, compare="test_accuracy").swap(
    "architecture",
    {
        "textCNN": use("text_classifier", encoder="text_cnn", pooling="max", dropout=0.5),
        "BiRNN": use("text_classifier", encoder="birnn", pooling="max", dropout=0.5),
    },
)
