"""Does it help to tell a model of ratings between which stars a rating lies?

The range is kept by a scaled sigmoid that goes a little beyond the ratings, as in fast.ai 2018, lesson 5. Nothing is
downloaded: the ratings are generated from known factors. Real ones, with LAB_DATA set:

    lab run experiments/y_range_or_not.py --set dataset.corpus=movielens_small_2016
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("ratings", corpus="embedded"),
    architecture=use("dot_bias", n_factors=20, y_range=(0.0, 5.5)),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.2),
    callbacks=["one_cycle", "item_map"],
    metrics=["rmse", "ndcg"],
    lr=5e-3,
    batch_size=128,
    epochs=6,
)
study = Study(base, seeds=5).swap("architecture.y_range", {"without": None, "exactly the stars": (0.5, 5.0)})
