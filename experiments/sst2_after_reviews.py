"""Does a classifier of sentiment gain from a language model that first read film reviews?

A small GPT reads 2,000 reviews without their labels, once for all arms and seeds; the classifier has the same blocks
and learns from 1,000 labelled phrases of the Stanford Sentiment Treebank (SST-2). Arms: from scratch, from the language
model, and from it with its blocks frozen. Needs LAB_DATA. All 60,614 phrases, for which one epoch is enough:

    lab run experiments/sst2_after_reviews.py --set dataset.max_examples=null --epochs 1

With 1,000 labels it gains: test accuracy 0.603 from scratch, 0.674 after the reviews, +0.071 with a 95 % interval from
0.044 to 0.098 (five seeds); with frozen blocks 0.574. With all labels 0.784 and 0.795: +0.011 from -0.007 to 0.030, no
difference shown. A recurrent network of one layer gained nothing then, either (docs/language-models.md).
"""

from lab import Experiment, Study, use


def language_model() -> Experiment:
    """Return the pretraining: 1.4 million words, of which the 8,000 most frequent are known."""
    return Experiment(
        dataset=use("text", corpus="movie_reviews", bptt=64, max_size=8_000, min_freq=2),
        architecture=use("gpt", layers=2, width=128, heads=4),
        loss="sequence_nll",
        sampler="streams",
        valid_sampler="streams",
        stepper=use("next_token", clip=1.0),
        optimizer="adam",
        callbacks=["one_cycle"],
        metrics=["next_token_perplexity"],
        lr=1e-3,
        batch_size=32,
        epochs=2,
    )


start = use("start_from", pretraining=language_model)
base = Experiment(
    dataset=use("labelled_text", corpus="sst2", max_examples=1_000),
    architecture=use(
        "text_classifier",
        encoder=use("gpt", layers=2, heads=4),
        pooling="mean",
        embedding_dim=128,
        head_size=50,
        dropout=0.1,
    ),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=1e-3,
    batch_size=32,
    epochs=10,
)
study = Study(base, seeds=5, compare="test_accuracy").swap(
    "callbacks",
    {"after film reviews": ["one_cycle", start], "and its blocks frozen": ["one_cycle", start, use("freeze", to=-1)]},
)
