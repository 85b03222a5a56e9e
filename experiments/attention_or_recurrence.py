"""Does a recurrent model translate better with attention, and does a Transformer translate better than both?

All arms see the same pairs in the same order. A Transformer computes all steps of a sentence at once, so look at the
seconds, too. The report shows the attention of each of its layers and heads. Losses of validation are never forced.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded", pairs=6_000),
    architecture=use("seq2seq_rnn", embedding_dim=96, hidden_size=64, layers=1, output_dropout=0.1),
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

study = Study(base, seeds=3, compare="valid_loss").swap(
    "architecture",
    {
        "attention": use(
            "seq2seq_rnn", embedding_dim=96, hidden_size=64, layers=1, output_dropout=0.1, attention="additive"
        ),
        "transformer": use(
            "transformer",
            width=96,
            heads=4,
            encoder_layers=2,
            decoder_layers=2,
            feed_forward=192,
            dropout=0.1,
            norm_first=True,
        ),
    },
)
