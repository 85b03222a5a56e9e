"""Does a plain recurrence learn better when its recurrent weights begin as the identity?

Le, Jaitly & Hinton 2015 (arXiv:1504.00941) began ReLU networks so; the course did it with tanh, as here. With ReLU:

    lab run experiments/identity_init.py --set architecture.nonlinearity=relu
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=16),
    architecture=use("char_rnn", cell="rnn", hidden_size=128, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["bits_per_character"],
    lr=2e-3,
    batch_size=64,
    epochs=3,
)
study = Study(base, seeds=3).swap("architecture.identity_init", [True])
