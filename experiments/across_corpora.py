"""Do batch normalization and a second layer help a small network on tables? Asked on four of them at once."""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("bundled_table", name="breast_cancer"),
    architecture=use("tabular_mlp", layers=[64], batch_norm=False),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=6,
)
study = (
    Study(base, seeds=5, compare="valid_accuracy")
    .swap("architecture.batch_norm", {"batch norm": True})
    .swap("architecture.layers", {"two layers": [64, 64]})
    .across("dataset.name", ["breast_cancer", "digits", "iris", "wine"])
)
