"""Does a wider layer help, and what does the diary say?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=48),
    architecture=use("mlp", hidden_size=4),
    loss="cross_entropy",
    callbacks=["diary"],
    lr=0.01,
    batch_size=16,
    epochs=2,
)

study = Study(base, seeds=2).swap("architecture.hidden_size", {"wider": 8})
