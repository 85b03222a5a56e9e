"""Which of the course's additions to a plain encoder–decoder helps most: reading both ways, being told, looking back?

The translation lesson of fast.ai's 2018 course with its settings: padding is read, attended to and counted in the
loss, `use_clr=(20, 10)`. What differs: questions from Tatoeba, and random vectors in place of downloaded ones. The
course adds one thing at a time, as these arms do.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="tatoeba", vocabulary_from="all"),
    architecture=use("seq2seq_rnn", mask_padding=False),
    loss=use("seq2seq_loss", padding="count"),
    sampler="sortish",
    valid_sampler="sort",
    stepper="free_running",
    optimizer=use("adam", betas=(0.8, 0.99)),
    callbacks=["clr", "translations", "attention_maps"],
    metrics=["token_perplexity", "bleu", "chrf"],
    lr=3e-3,
    batch_size=125,
    valid_batch_size=200,
    epochs=12,
)

study = (
    Study(base, seeds=1, compare="valid_loss")
    .swap("architecture.bidirectional", {"bidirectional": True})
    .swap("stepper", {"teacher forcing": "teacher_forcing"})
    .swap("architecture.attention", {"attention": "additive"})
)
