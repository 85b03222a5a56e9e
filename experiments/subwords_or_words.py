"""Does a Transformer translate better with pieces of words than with words, and does it matter how they are found?

All arms see the same pairs. Losses of different vocabularies cannot be compared, so look at BLEU; there is no
verdict, since the arms' targets are other tokens.

After 3 epochs WordPiece has BLEU 32 ± 3, words 31 ± 1, BPE 27 ± 3 and unigram 21 ± 1: this corpus has few words, and
sentences of pieces are longer.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded", pairs=6_000, tokenizer="spacy"),
    architecture="transformer_small",
    loss="seq2seq_loss",
    sampler="sortish",
    stepper="always_forced",
    optimizer=use("adam", betas=(0.9, 0.98)),
    callbacks=["one_cycle", "translations"],
    metrics=["bleu", "chrf"],
    lr=5e-3,
    batch_size=32,
    epochs=3,
)

study = Study(base, seeds=3, compare="valid_bleu").swap(
    "dataset.tokenizer",
    {
        "bpe": use("bpe", vocab_size=1_000),
        "unigram": use("unigram", vocab_size=1_000),
        "wordpiece": use("wordpiece", vocab_size=1_000),
    },
)
