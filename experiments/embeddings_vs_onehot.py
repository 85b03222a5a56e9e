"""Do learned vectors of categories help more than ones and zeros, and what do the vectors know?

Nothing is downloaded: rents of flats in sixty towns are generated, and only where a town lies on the map matters. The
report shows where the network puts the towns, and other models on its vectors (Guo & Berkhahn 2016, table 3). On the
sales of 1,115 German drugstores, with LAB_DATA set:

    lab run experiments/embeddings_vs_onehot.py --set dataset=rossmann --seeds 1
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("towns"),
    architecture=use("tabular_mlp", categories="embedding", layers=[200, 100], embedding_dropout=0.02),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.01),
    callbacks=["one_cycle", use("entity_maps", compare=True)],
    metrics=["rmse", "mae"],
    lr=5e-3,
    batch_size=64,
    valid_batch_size=4096,
    epochs=12,
)
study = Study(base, seeds=3).swap("architecture.categories", {"one-hot": "one_hot"})
