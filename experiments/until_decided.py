"""Which change to a small classifier matters, at the price of as few runs as possible?

A seed is added until an arm is better, worse, or equivalent within 0.01 of loss; then it leaves. At most 12 seeds.
"""

from lab_statistics import until_decided

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=2400, noise=0.9),
    architecture=use("mlp", hidden_size=32),
    loss="cross_entropy",
    optimizer="adam",
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=4,
)
study = (
    Study(base, seeds=until_decided(smallest=3, largest=12), compare="valid_loss", margin=0.01)
    .swap("optimizer", {"sgd": "sgd", "adamw": use("adamw", weight_decay=0.1)})
    .swap("architecture.hidden_size", {"8 units": 8, "64 units": 64})
    .swap("architecture.dropout", {"dropout 0.1": 0.1})
    .swap("lr", {"lr 0.02": 0.02})
)
