"""Does a classifier of film reviews gain from a language model that read the reviews before, without their labels?

The language model reads all 2,000 reviews once for all arms and seeds, also those that validate, but no labels; the
classifier learns from the last 150 words of 1,600 of them, and 400 validate. The weights that it starts from are larger
than fresh ones, so a learning rate that suits a classifier from scratch may be too low for it: both start at two rates.

No gain is shown: 0.788 from scratch, 0.739 and, at the higher rate, 0.778 after the reviews, -0.010 with an interval
from -0.064 to 0.044. With `--set architecture.pooling=last`, of which Dai & Le 2015 (arXiv:1511.01432) report a large
gain after millions of words, 0.672 from scratch and 0.645. A language model of 1.4 million words knows little of praise
(docs/language-models.md). Needs LAB_DATA.
"""

from lab import Experiment, Study, use


def language_model() -> Experiment:
    """Return the pretraining: 1.4 million words, with an adaptive softmax."""
    return Experiment(
        dataset=use("text", corpus="movie_reviews", bptt=32, max_size=20_000, min_freq=2),
        architecture=use("rnn_lm", hidden_size=128, layers=1, dropout=0.2, cutoffs=(2_000, 8_000)),
        loss="projected_nll",
        sampler="streams",
        valid_sampler="streams",
        stepper=use("next_token", clip=1.0),
        optimizer="adam",
        callbacks=["one_cycle"],
        metrics=["next_token_perplexity"],
        lr=1e-2,
        batch_size=64,
        epochs=2,
    )


base = Experiment(
    dataset=use("labelled_text", corpus="movie_reviews", max_tokens=150, keep="tail", min_freq=2, folds=5, fold=1),
    architecture=use(
        "text_classifier",
        encoder=use("rnn_lm", hidden_size=128, layers=1),
        pooling="concat",
        embedding_dim=128,
        head_size=50,
        dropout=0.1,
    ),
    loss="cross_entropy",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=3,
)
study = Study(base, seeds=5, compare="valid_accuracy").grid(
    {
        "callbacks": {
            "from scratch": ["one_cycle"],
            "after film reviews": ["one_cycle", use("start_from", pretraining=language_model)],
        },
        "lr": [1e-2, 3e-2],
    }
)
