"""Does a second LSTM layer help on Andersen's fairy tales?

Judged on held-out tales, with settings of `lab`: spans of 10 to 40 characters from random places, a loss on every
character, batches of 64, learned embeddings, one cycle. The char-rnn article that trains on these tales does otherwise:
`char_rnn_article.py`. LAB_DATA must hold the corpus.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="andersen", bptt=32, lower=False, min_freq=2),
    architecture=use("char_rnn", cell="lstm", hidden_size=256, embedding_dim=64, layers=1, dropout=0.3),
    loss="sequence_nll",
    sampler=use("spans", shortest=10, longest=40),
    optimizer="adam",
    callbacks=["one_cycle", use("sample_text", prompt="Once upon a time", length=300)],
    metrics=["bits_per_character"],
    lr=5e-3,
    batch_size=64,
    epochs=15,
)
study = Study(base, seeds=3).swap("architecture.layers", [2])
