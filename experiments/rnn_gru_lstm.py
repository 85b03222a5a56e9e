"""Which recurrent cell predicts the next character best: the plain recurrence, the GRU or the LSTM?

Nothing is downloaded: the text is Python's own help. The real text of the course, with LAB_DATA set:

    lab run experiments/rnn_gru_lstm.py --set dataset.corpus=nietzsche
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=16),
    architecture=use("char_rnn", cell="rnn", hidden_size=128, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    optimizer="adam",
    callbacks=["one_cycle", use("sample_text", prompt="the ", length=200)],
    metrics=["bits_per_character", "char_perplexity"],
    lr=4e-3,
    batch_size=64,
    epochs=4,
)
study = Study(base, seeds=3).swap("architecture.cell", {"gru": "gru", "lstm": "lstm"})
