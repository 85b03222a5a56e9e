"""What do word vectors know that learned only whether the middle word of a window was replaced?

The pretext task of fast.ai 2018: windows of 11 words, of which half have another word in the middle. Judged by
similarity and analogy on Python's own help, beside vectors that were not trained, narrower and wider windows;
word_vectors_which_objective.py has the objectives made for vectors. On Penn Treebank, with LAB_DATA set:

    lab run experiments/pretext_task.py --set dataset.corpus=ptb \\
        --set callbacks.word_scores.similarity=wordsim353 --set callbacks.word_scores.analogy=google
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("replaced_middle", corpus="embedded"),
    architecture=use("window_classifier", embedding_dim=50),
    loss="bce",
    optimizer="adam",
    callbacks=["one_cycle", "word_scores"],
    lr=5e-3,
    batch_size=256,
    epochs=5,
)

study = Study(base, seeds=3, compare="similarity").swap("lr", {"untrained": 0.0}).swap("dataset.width", [5, 21])
