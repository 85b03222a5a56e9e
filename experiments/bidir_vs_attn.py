"""Does a bidirectional encoder help French→English translation more than attention, and do they add up?

The decoder is told fewer and fewer true words, and none in the last fifth of the training. The lesson that this follows
trains 10 epochs: `--epochs 10`.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded"),
    architecture=use("seq2seq_rnn", embedding_dim=96, hidden_size=64, layers=1, output_dropout=0.1),
    loss="seq2seq_loss",
    sampler="sortish",
    stepper=use("teacher_forcing", decay=0.8),
    optimizer=use("adam", betas=(0.8, 0.99)),
    callbacks=["one_cycle", "translations", "attention_maps"],
    metrics=["token_perplexity", "bleu"],
    lr=1e-2,
    batch_size=128,
    epochs=3,
)

study = Study(base, seeds=3, compare="valid_loss").grid(
    {"architecture.bidirectional": [False, True], "architecture.attention": [None, "additive"]}
)
