"""Should a character be added to the hidden state, or stand beside it?

Two networks written as loops, as in fast.ai 2018, lesson 6: eight characters are read, the ninth is predicted.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=8),
    architecture=use("char_loop", combine="add", hidden_size=128),
    loss="sequence_nll",
    sampler=use("windows", step=4),
    optimizer="adam",
    callbacks=["one_cycle", use("sample_text", length=100)],
    metrics=["char_accuracy"],
    lr=4e-3,
    batch_size=512,
    epochs=3,
)
study = Study(base, seeds=3).swap("architecture.combine", ["concat"])
