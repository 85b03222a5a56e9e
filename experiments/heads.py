"""How many heads does a Transformer need, if the width of all heads together stays the same?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded", pairs=6_000),
    architecture=use(
        "transformer",
        width=96,
        heads=4,
        encoder_layers=2,
        decoder_layers=2,
        feed_forward=192,
        dropout=0.1,
        norm_first=True,
    ),
    loss="seq2seq_loss",
    sampler="sortish",
    stepper=use("teacher_forcing", decay_epochs=None),
    optimizer=use("adam", betas=(0.9, 0.98)),
    callbacks=["one_cycle", "translations", "attention_maps"],
    metrics=["token_perplexity", "bleu"],
    lr=5e-3,
    batch_size=128,
    epochs=4,
)

study = Study(base, seeds=3, compare="valid_loss").swap("architecture.heads", {"one": 1, "two": 2, "eight": 8})
