"""Should a network be told which numbers were missing, and not only what they were filled with?

Nothing is downloaded: rents are generated, and people who pay a high rent tend not to say what they earn, so that a gap
tells something. On the prices of 1,460 houses, where most gaps mean that a house has no such thing, with LAB_DATA set:

    lab run experiments/missing_indicators.py --set dataset=house_prices
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("towns", missing_indicators=True),
    architecture=use("tabular_mlp", layers=[100, 50]),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.01),
    callbacks=["one_cycle"],
    metrics=["rmse"],
    lr=5e-3,
    batch_size=64,
    valid_batch_size=4096,
    epochs=10,
)
study = Study(base, seeds=5).swap("dataset.missing_indicators", {"not told": False})
