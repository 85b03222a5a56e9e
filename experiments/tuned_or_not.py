"""Is SGD really worse than Adam, or does it want another learning rate?

All arms as they are have Adam's rate. Tuned, each has the best of eight rates, found with a seed of its own, and is
compared on fresh seeds.
"""

from lab import Experiment, Study, log, use

base = Experiment(
    dataset=use("points", count=2400, noise=0.9),
    architecture=use("mlp", hidden_size=32),
    loss="cross_entropy",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=4,
)
study = (
    Study(base, seeds=5, compare="test_loss", margin=0.02)
    .swap("optimizer", {"sgd": "sgd", "momentum": "momentum", "adamw": use("adamw", weight_decay=0.1)})
    .tune({"lr": log(1e-3, 3.0)}, trials=8, per_arm=True)
)
