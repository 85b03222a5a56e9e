"""Does a network that keeps its hidden state from batch to batch predict the next character better?

Both read the same streams in the same order; one of them begins anew with every piece of eight characters.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=8),
    architecture=use("char_rnn", cell="gru", hidden_size=128, stateful=False),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    optimizer="adam",
    callbacks=["one_cycle", use("sample_text", length=100)],
    metrics=["bits_per_character"],
    lr=4e-3,
    batch_size=64,
    epochs=3,
)
study = Study(base, seeds=3).swap("architecture.stateful", [True])
