"""Does a bidirectional encoder still help where attention and teacher forcing are there already?

The last two models of the translation lesson of fast.ai's 2018 course, with its settings for them: 15 epochs, lr 2e-3.
As in `course_seq2seq.py`, padding is read and attended to, questions are Tatoeba's, and vectors are random.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="tatoeba", vocabulary_from="all"),
    architecture=use("seq2seq_attn", mask_padding=False),
    loss=use("seq2seq_loss", padding="count"),
    sampler="sortish",
    valid_sampler="sort",
    stepper="teacher_forcing",
    optimizer=use("adam", betas=(0.8, 0.99)),
    callbacks=["clr", "translations", "attention_maps"],
    metrics=["token_perplexity", "bleu", "chrf"],
    lr=2e-3,
    batch_size=125,
    valid_batch_size=200,
    epochs=15,
)

study = Study(base, seeds=1, compare="valid_loss").swap("architecture.bidirectional", {"bidirectional": True})
