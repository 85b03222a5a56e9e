"""Where does the spread of a rating model's loss come from: its first weights, the order, dropout, or the split?

Each arm varies one source of randomness and holds the others. Look at the shares again with:

    lab variance where_does_variance_come_from
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("ratings", corpus="embedded", split_seed=0),
    architecture=use("embedding_net", n_factors=20, dropout=0.2),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.2),
    callbacks=["one_cycle"],
    metrics=["rmse"],
    lr=5e-3,
    batch_size=128,
    epochs=4,
)
study = Study(base, seeds=12, selection="last").sources(
    "init", "order", "dropout", split="dataset.split_seed", splits=12
)
