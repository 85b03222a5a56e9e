"""Does a bidirectional encoder help French→English translation more than attention, and do they add up?

A short demonstration: in its three epochs, the decoder is still told 100 %, 90 % and 80 % of the true words. The lesson
that it follows trains 10 epochs or more, in which that falls to nothing: `--epochs 10`. Within three epochs:

    lab run experiments/bidir_vs_attn.py --set stepper.decay=0.8
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded"),
    architecture=use("seq2seq_rnn", embedding_dim=96, hidden_size=64, layers=1, output_dropout=0.1),
    loss="seq2seq_loss",
    sampler="sortish",
    stepper="teacher_forcing",
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
