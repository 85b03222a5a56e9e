"""Which test perplexity does the small LSTM of Zaremba et al., two layers of 200, reach on Penn Treebank?

They report 114.5, without dropout (2014, arXiv:1409.2329, table 1). Here weights are tied, with dropout, and Adam runs
through two cycles, eight epochs and three. Needs LAB_DATA; an hour on one core. Both cycles in seconds, as a trial:

    lab run experiments/ptb_lstm.py --epochs 1 --set dataset.max_lines=300 \\
      --set 'callbacks.start_from.settings=["epochs=1", "dataset.max_lines=300"]'
"""

import attrs

from lab import Experiment, Study, use


def first_cycle() -> Experiment:
    """Return the first cycle, from which the second one starts."""
    return Experiment(
        dataset=use("text", corpus="ptb", bptt=35),
        architecture=use("rnn_lm", cell="lstm", hidden_size=200, layers=2, tied=True, dropout=0.25),
        loss="sequence_nll",
        sampler="streams",
        valid_sampler="streams",
        stepper=use("next_token", clip=1.0),
        optimizer="adam",
        callbacks=["one_cycle"],
        metrics=["next_token_perplexity"],
        lr=5e-3,
        batch_size=32,
        epochs=8,
    )


base = attrs.evolve(
    first_cycle(),
    architecture=use("rnn_lm", cell="lstm", hidden_size=200, layers=2, tied=True, dropout=0.2),
    callbacks=["one_cycle", use("start_from", pretraining=first_cycle)],
    lr=2e-3,
    epochs=3,
)
study = Study(base, seeds=1)
