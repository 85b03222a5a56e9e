"""Do ratings of films change with the years, by film or by user, enough to predict them better?

Koren 2009, "Collaborative filtering with temporal dynamics", which *Dive into Deep Learning* quotes in section 8.1 of
the second Chinese edition: films are rated otherwise after an award, users raise their standards. Base: biases that
stay; arms: biases of films by period, a drift of users, and both. MovieLens small of 2016 has 20 years of ratings in
LAB_DATA. Without it, the generated ratings know no time, and neither arm should help:

    lab run experiments/ratings_over_time.py --set dataset.corpus=embedded
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("ratings", corpus="movielens_small_2016", times=True),
    architecture=use("time_biases", n_factors=16, bins=0, drift=False),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.17),
    callbacks=["one_cycle"],
    metrics=["rmse"],
    lr=4e-3,
    batch_size=256,
    epochs=4,
)
study = Study(base, seeds=3, compare="valid_rmse").grid(
    {"architecture.bins": [0, 20], "architecture.drift": [False, True]}
)
