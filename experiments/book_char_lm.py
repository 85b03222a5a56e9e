"""Do a plain recurrence, a GRU and an LSTM learn 10,000 characters by heart, as in the book?

*Dive into Deep Learning*, sections 8.6, 9.1 and 9.2, concise: one layer of 256, one-hot characters of The Time Machine,
batches of 32 blocks, 35 steps, SGD with lr 1 and clipping at 1, 500 epochs. Its training perplexities: 1.3, 1.0 and 1.1
(logarithm: 0.26, 0.0 and 0.10). Differs from it: punctuation is kept. Needs LAB_DATA.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="timemachine", max_chars=12_500, bptt=35),
    architecture=use("char_rnn", cell="rnn", one_hot=True, hidden_size=256, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    stepper=use("supervised", clip=1.0),
    optimizer="sgd",
    callbacks=[use("sample_text", prompt="time traveller", length=50)],
    metrics=["char_perplexity"],
    lr=1.0,
    batch_size=32,
    epochs=500,
)
study = Study(base, seeds=1, compare="train_loss").swap("architecture.cell", {"gru": "gru", "lstm": "lstm"})
