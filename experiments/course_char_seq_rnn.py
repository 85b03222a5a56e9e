"""Does a recurrence that predicts every character of a window learn better from the identity, as the course found?

``CharSeqRnn`` of fast.ai 2018, lesson 6, on Nietzsche: windows of 8 characters that do not overlap, 512 at a time, a
loss on every character, letters in both cases (84 characters), 42 numbers per character, 256 hidden units, Adam at a
constant rate, 4 epochs. The notebook prints validation losses of 2.016 at 0.001, and of 1.918 with recurrent weights
that begin as the identity, at 0.01. It changes both at once; the grid here also changes each alone.

Departures: the end of the text validates here, a fifth of its lines, and in the notebook a fifth of the windows, drawn
at random among those that train. The vocabulary has an unknown character besides padding. LAB_DATA must hold the
corpus.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="nietzsche", bptt=8, lower=False),
    architecture="char_seq_rnn",
    loss="sequence_nll",
    sampler="chunks",
    optimizer="adam",
    metrics=["bits_per_character"],
    lr=1e-3,
    batch_size=512,
    epochs=4,
)
study = Study(base, seeds=3).grid(
    {"architecture.identity_init": {"random": False, "identity": True}, "lr": [1e-3, 1e-2]}
)
