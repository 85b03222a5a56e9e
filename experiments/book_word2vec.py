"""Skip-gram with negative sampling as in *Dive into Deep Learning*, 14.3 and 14.4; Penn Treebank must be in LAB_DATA.

The book prints a loss of 0.410 after 5 epochs, and microprocessor, mips, intel as the neighbors of chip. Differs from
the book: a batch has 2,048 pairs, not 512 words with all their contexts, and every pair counts alike.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("word_pairs", corpus="ptb", redraw=False),
    architecture=use("word_vectors", embedding_dim=100),
    loss="negative_sampling",
    optimizer="adam",
    callbacks=[use("word_scores", similarity="wordsim353", analogy="google", words=("chip",))],
    lr=2e-3,
    batch_size=2048,
    epochs=5,
)

study = Study(base, seeds=1, compare="train_loss")
