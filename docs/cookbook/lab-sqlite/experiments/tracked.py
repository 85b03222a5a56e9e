"""Does dropout help? Every epoch is written to runs.sqlite."""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=600),
    architecture="mlp",
    loss="cross_entropy",
    metrics=["accuracy"],
    callbacks=[use("tracker", to=use("sqlite"))],
    lr=1e-2,
    batch_size=32,
    epochs=3,
)

study = Study(base, seeds=3).swap("architecture.dropout", {"dropout": 0.3})
