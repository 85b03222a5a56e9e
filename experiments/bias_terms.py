"""What do the biases of users and items add to a product of factors, and is a small network better than both?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("ratings", corpus="embedded"),
    architecture=use("dot_bias", n_factors=20, biases=True),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.2),
    callbacks=["one_cycle"],
    metrics=["rmse", "hit_rate"],
    lr=5e-3,
    batch_size=128,
    epochs=6,
)
study = Study(base, seeds=5).swap(
    "architecture",
    {
        "no biases": use("dot_bias", n_factors=20, biases=False),
        "network": use("embedding_net", n_factors=20, dropout=0.2),
        "svd++": use("svd_plus_plus", n_factors=20),
    },
)
