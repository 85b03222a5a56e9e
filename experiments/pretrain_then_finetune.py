"""Does a classifier of sentences gain from a language model that first read sentences without labels?

The language model is trained once, and found by every arm and seed that starts from it. Arms: from scratch, from the
language model, the same with frozen layers, and with layers that are unfrozen one after the other. Nothing is
downloaded: in half of the labelled questions two neighboring words changed places, and the language model reads others.
"""

from lab import Experiment, Study, use


def language_model() -> Experiment:
    """Return the pretraining, which runs once before the first arm that starts from it."""
    return Experiment(
        dataset=use("text", corpus="embedded_questions", bptt=24),
        architecture=use("rnn_lm", hidden_size=96, layers=1, tied=True, dropout=0.1),
        loss="sequence_nll",
        sampler="streams",
        valid_sampler="streams",
        stepper=use("next_token", clip=1.0),
        optimizer="adam",
        callbacks=["one_cycle"],
        lr=1e-2,
        batch_size=64,
        epochs=4,
    )


start = use("start_from", pretraining=language_model)
base = Experiment(
    dataset=use("labelled_text", corpus="embedded"),
    architecture=use(
        "text_classifier",
        encoder=use("rnn_lm", hidden_size=96, layers=1),
        pooling="concat",
        embedding_dim=96,
        head_size=50,
        dropout=0.1,
    ),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    epochs=3,
)
study = Study(base, seeds=5, compare="valid_accuracy").swap(
    "callbacks",
    {
        "from a language model": ["one_cycle", start],
        "frozen": ["one_cycle", start, use("freeze", to=-1)],
        "gradually unfrozen": ["one_cycle", start, use("freeze", to=-1, epochs=1, gradual=True)],
    },
)
