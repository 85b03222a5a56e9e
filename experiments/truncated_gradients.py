"""Backpropagation through time that is cut: at fixed places, at random ones, or not within 32 steps?

*Dive into Deep Learning*, section 8.7 of the second Chinese edition: gradients of a recurrent network are cut after a
number of steps, or at random steps, with a factor that keeps their expectation (Tallec & Ollivier 2017). The book says
that random cuts are hardly better, for their variance. Base: 32 steps; arms: the gradient is cut after every 8 steps,
or passes each step with probability 7/8, for 8 steps on average. All see the same windows of 32.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=32, max_chars=100_000),
    architecture=use("char_rnn", cell="rnn_cell", hidden_size=128, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    stepper=use("supervised", clip=1.0),
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["bits_per_character"],
    lr=4e-3,
    batch_size=32,
    epochs=4,
)
study = (
    Study(base, seeds=3)
    .swap("architecture.gradient_steps", {"cut after 8": 8})
    .swap("architecture.gradient_share", {"cut at random": 7 / 8})
)
