"""Do warm restarts of the learning rate (SGDR) help a character model, and is it the restarts or the decay?

See the rates before anything is trained:  lab show experiments/sgdr_vs_constant.py --schedule
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="embedded", bptt=16),
    architecture=use("char_rnn", cell="gru", hidden_size=128, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    optimizer="adam",
    metrics=["bits_per_character"],
    lr=4e-3,
    batch_size=64,
    epochs=7,
)
study = Study(base, seeds=3).swap(
    "callbacks",
    {
        "restarts": [use("cos_anneal", cycle_len=1, cycle_mult=2)],
        "one cosine": ["cosine"],
        "one cycle": ["one_cycle"],
    },
)
