"""Which predicts the next word better with equally many parameters: a recurrent network or a Transformer?

Both have about 265,000 weights between an embedding and an output that share theirs, whatever the vocabulary. The
Transformer is also trained with as many epochs as the seconds of the recurrent network allow. Counted 5-grams stand
beside them. Nothing is downloaded: the text is Python's own help. Penn Treebank, with LAB_DATA set:

    lab run experiments/rnn_or_transformer_lm.py --set dataset.corpus=ptb
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("text", corpus="embedded", bptt=32),
    architecture=use("rnn_lm", embedding_dim=128, hidden_size=188, layers=1, tied=True, dropout=0.4),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    stepper=use("next_token", clip=1.0),
    optimizer="adam",
    callbacks=["one_cycle", use("sample_text", prompt="the", length=40)],
    metrics=["next_token_perplexity", "perplexity_per_word", "bits_per_character"],
    lr=5e-3,
    batch_size=32,
    epochs=4,
)
study = (
    Study(base, seeds=3)
    .swap(
        "architecture",
        {
            "gpt": use("gpt", layers=2, width=128, heads=4, feed_forward=256, dropout=0.2),
            "5-grams": use("ngram_lm", order=5),
        },
    )
    .match("seconds")
)
