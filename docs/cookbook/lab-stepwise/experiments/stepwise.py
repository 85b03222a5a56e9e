"""Does a Transformer translate better than a recurrent network?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", pairs=48, tokenizer="whitespace", holdout=0.25),
    architecture=use("seq2seq_rnn", embedding_dim=8, hidden_size=8, layers=1),
    loss="seq2seq_loss",
    stepper="always_forced",
    callbacks=["translations"],
    metrics=["bleu"],
    batch_size=16,
    epochs=1,
)

study = Study(base, seeds=2).swap("architecture", {"stepwise": use("stepwise", width=8, heads=2)})
