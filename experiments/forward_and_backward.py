"""Is the mean of a classifier that reads forward and one that reads backward better than either?

"Trick #1" of fast.ai 2018, lesson on translation, and Howard & Ruder 2018 (arXiv:1801.06146), section 3.3: the language
model and the classifier are trained again on reversed texts, and their predictions averaged. The other two cells start
from the language model of the other direction; the mean of two models that both read forward shows what the mean of any
two gives. Texts are `labelled_text`'s own: in half of the questions, two neighboring words changed places. The language
models are trained once each.
"""

import attrs

from lab import Experiment, Study, use


def language_model() -> Experiment:
    """Return the pretraining of the models that read forward."""
    return Experiment(
        dataset=use("text", corpus="embedded_questions", bptt=24),
        architecture=use("rnn_lm", hidden_size=64, layers=1, tied=True, dropout=0.1),
        loss="sequence_nll",
        sampler="streams",
        valid_sampler="streams",
        stepper=use("next_token", clip=1.0),
        optimizer="adam",
        callbacks=["one_cycle"],
        lr=1e-2,
        batch_size=64,
        epochs=2,
    )


def backward_language_model() -> Experiment:
    """Return the pretraining of the model that reads backward: the same on the reversed text."""
    return attrs.evolve(language_model(), dataset=use("text", corpus="embedded_questions", bptt=24, backward=True))


base = Experiment(
    dataset=use("labelled_text", corpus="embedded"),
    architecture=use(
        "text_classifier",
        encoder=use("rnn_lm", hidden_size=64, layers=1),
        pooling="concat",
        embedding_dim=64,
        head_size=50,
        dropout=0.1,
    ),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle", use("start_from", pretraining=language_model)],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    epochs=2,
)
study = (
    Study(base, seeds=3)
    .grid(
        {
            "architecture.backward": {"forward": False, "backward": True},
            "callbacks.start_from.pretraining": {
                "forward language model": language_model,
                "backward language model": backward_language_model,
            },
        }
    )
    .ensemble(
        {
            "both directions": ["base", "backward + backward language model"],
            "forward twice": ["base", "backward language model"],
        }
    )
)
