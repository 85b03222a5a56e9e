"""Which part of the char-rnn article's recipe holds it back: a loss on the last letter only, or a single layer?

The article reads Andersen's tales in order, in spans of 10 to 40 characters, one at a time, and carries the state from
span to span; its loss is that of the last letter of a span; Adam with amsgrad, one-hot letters, ASCII, case kept. It
trains about 300 passes and reports no loss. Differs from it: a fifth of the tales is held out, and one pass reads the
first 300,000 characters, for a run of a minute. LAB_DATA must hold the corpus; all of it, as often as the article:

    lab run experiments/char_rnn_article.py --set dataset.max_chars=None --epochs 300
    lab generate KEY --prompt "Once upon a time" --temperature 0.1 --length 300
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="andersen", bptt=32, lower=False, ascii_only=True, max_chars=300_000),
    architecture=use("char_rnn", cell="lstm", hidden_size=150, one_hot=True, stateful=True),
    loss="last_only",
    sampler="consecutive_spans",
    valid_sampler="streams",
    optimizer="amsgrad",
    callbacks=[use("sample_text", prompt="Once upon a time", length=300)],
    metrics=["bits_per_character"],
    lr=1e-3,
    batch_size=1,
    valid_batch_size=16,
    epochs=1,
)
study = (
    Study(base, seeds=1, compare="valid_bits_per_character")
    .swap("loss", {"every letter": "sequence_nll"})
    .swap("architecture.layers", [2])
)
