"""Does a wider layer help?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=64),
    architecture=use("mlp", hidden_size=8),
    loss="cross_entropy",
    lr=1e-2,
    batch_size=16,
    epochs=2,
)

study = Study(base, seeds=2).swap("architecture.hidden_size", {"wider": 16})
