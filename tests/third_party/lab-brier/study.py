"""Does dropout leave better probabilities?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=64),
    architecture=use("mlp", hidden_size=8),
    loss="cross_entropy",
    metrics=["brier"],
    lr=1e-2,
    batch_size=16,
    epochs=2,
)

study = Study(base, seeds=2).swap("architecture.dropout", {"dropout": 0.3})
