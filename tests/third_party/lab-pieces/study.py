"""Are pieces of words easier to learn than words?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", pairs=48, tokenizer="whitespace", holdout=0.25),
    architecture=use("seq2seq_rnn", attention="dot", embedding_dim=8, hidden_size=8, layers=1),
    loss="seq2seq_loss",
    stepper="teacher_forcing",
    batch_size=16,
    epochs=1,
)

study = Study(base, seeds=2).swap("dataset.tokenizer", {"pieces": use("pieces", letters=4)})
