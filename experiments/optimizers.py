"""Which optimizer brings a small network furthest in two epochs, and how much does that depend on the learning rate?

The optimizers of *Dive into Deep Learning*, chapter 12 (11 in the first edition), with rates of 0.005, 0.1 and 2, a
factor of 20 apart. Which is best depends on the rate, so it is a grid: look at the cells before the means.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=16, max_chars=100_000),
    architecture=use("char_rnn", cell="gru", hidden_size=64, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    stepper=use("supervised", clip=1.0),
    optimizer="sgd",
    metrics=["bits_per_character"],
    lr=0.005,
    batch_size=32,
    epochs=2,
)
study = Study(base, seeds=2).grid(
    {
        "optimizer": ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "amsgrad", "yogi"],
        "lr": [0.005, 0.1, 2.0],
    }
)
