"""Does a bidirectional encoder help French→English translation more than attention, and do they add up?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded", pairs=8_000),
    architecture=use("seq2seq_rnn", embedding_dim=128, hidden_size=128),
    loss="seq2seq_loss",
    sampler="sortish",
    stepper="teacher_forcing",
    optimizer=use("adam", betas=(0.8, 0.99)),
    callbacks=["one_cycle", "translations", "attention_maps"],
    metrics=["perplexity", "bleu", "chrf"],
    lr=3e-3,
    batch_size=64,
    epochs=8,
)

study = Study(base, seeds=3, compare="valid_loss").grid(
    {"architecture.bidirectional": [False, True], "architecture.attention": [None, "additive"]}
)
