"""Which objective gives the best word vectors: negative sampling, a hierarchical or a full softmax, or GloVe's counts?

Judged by similarity and analogy, on equal epochs; an epoch has one example per pair of words, with CBOW one per word,
and with GloVe one per distinct pair. Nothing is downloaded: the text is Python's own help, the judgments are a small
list for it.
On Penn Treebank, with LAB_DATA set:

    lab run experiments/word_vectors_which_objective.py --set dataset.corpus=ptb \\
        --set callbacks.word_scores.similarity=wordsim353 --set callbacks.word_scores.analogy=google
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

study = (
    Study(base, seeds=3, compare="similarity")
    .swap("dataset.objective", {"hierarchical softmax": "tree", "full softmax": "softmax", "GloVe": "counts"})
    .swap("dataset.model", {"CBOW": "cbow"})
    .swap("architecture.subwords", {"subwords": (3, 6)})
)
