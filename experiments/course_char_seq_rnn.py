"""Does a recurrence that predicts every character of a window learn better from the identity, as the course found?

``CharSeqRnn`` of fast.ai 2018, lesson 6, on Nietzsche: windows of 8 characters that do not overlap, 512 at a time, a
loss on every character, 42 numbers per character, 256 hidden units, Adam; then the recurrent weights begin as the
identity, at ten times the rate (`--set lr=0.01`). The rate is constant here. LAB_DATA must hold the corpus.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="nietzsche", bptt=8, min_freq=3),
    architecture="char_seq_rnn",
    loss="sequence_nll",
    sampler="chunks",
    optimizer="adam",
    metrics=["bits_per_character"],
    lr=1e-3,
    batch_size=512,
    epochs=4,
)
study = Study(base, seeds=3).swap("architecture.identity_init", [True])
