"""Does dropout help? Each run in a process of its own: lab run experiments/apart.py --executor apart."""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=600),
    architecture="mlp",
    loss="cross_entropy",
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=3,
)

study = Study(base, seeds=3).swap("architecture.dropout", {"dropout": 0.3})
