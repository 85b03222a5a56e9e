"""Does skip-gram give better word vectors than CBOW?

Judged by similarity on Python's own help, without a download; `--set dataset.corpus=ptb` reads Penn Treebank.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("word_pairs", corpus="embedded", subsample=1e-3),
    architecture=use("word_vectors", embedding_dim=50),
    loss="word_nll",
    optimizer="adam",
    callbacks=["one_cycle", "word_scores"],
    lr=5e-3,
    batch_size=1024,
    epochs=5,
)

study = Study(base, seeds=3, compare="similarity").swap("dataset.model", ["cbow"])
