"""Should the output of a word language model share the weights of its embedding, and what is either worth over 5-grams?

Nothing is downloaded: the text is Python's own help. Penn Treebank, with LAB_DATA set:

    lab run experiments/tied_or_not.py --set dataset.corpus=ptb
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("text", corpus="embedded", bptt=32),
    architecture=use("rnn_lm", hidden_size=128, layers=1, dropout=0.4),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    stepper=use("next_token", clip=1.0),
    optimizer="adam",
    callbacks=["one_cycle", use("sample_text", prompt="the", length=40)],
    metrics=["next_token_perplexity", "perplexity_per_word", "bits_per_character"],
    lr=5e-3,
    batch_size=32,
    epochs=5,
)
study = (
    Study(base, seeds=3)
    .swap("architecture.tied", {"tied": True})
    .swap("architecture", {"5-grams": use("ngram_lm", order=5)})
)
