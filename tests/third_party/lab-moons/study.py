"""Are interleaving half-circles harder than Gaussian clusters?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=64),
    architecture=use("mlp", hidden_size=8),
    loss="cross_entropy",
    lr=1e-2,
    batch_size=16,
    epochs=2,
)

study = Study(base, seeds=2).swap("dataset", {"moons": use("moons", noise=0.2)})
