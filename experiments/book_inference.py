"""Does decomposable attention use the premise? SNLI, as in Dive into Deep Learning 15.5, beside its hypotheses alone.

The book trains on 549,367 pairs with GloVe; here are the 9,842 pairs of the part `dev`, a tenth of its premises held
out, and the 9,824 pairs of the part `test`. The vectors of 2,445 frequent words that are here know 1,346 of the 6,103
words of these pairs, so embeddings are learned, with dropout, and the model sees which words both texts have. Settings
were chosen on the validation pairs. Needs LAB_DATA.
"""

from lab import Experiment, Study, use

attention = use("decomposable_attention", hidden_size=100, embedding_dropout=0.5, scale_scores=True, same_word=True)
base = Experiment(
    dataset=use("snli", min_freq=2),
    architecture=attention,
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    epochs=6,
)

study = Study(base, seeds=5, compare="test_accuracy", selection="valid").swap(
    "architecture",
    {
        "hypothesis only, words": use("text_classifier", pooling="max", reads="second"),
        "hypothesis only, textCNN": use("text_classifier", encoder="text_cnn", pooling="max", reads="second"),
    },
)
