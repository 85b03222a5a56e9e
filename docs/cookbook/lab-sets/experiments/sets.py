"""Does a network over sets need to sum, if the target is a sum?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("number_sets", count=400),
    architecture=use("deep_sets", width=16),
    loss="mse",
    lr=1e-2,
    batch_size=32,
    epochs=10,
)

study = Study(base, seeds=2).swap("architecture.pooling", {"mean": "set_mean", "maximum": "set_max"})
