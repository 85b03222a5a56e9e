"""Which settings matter for a model of ratings? Forty trials, and a random forest that learns from them.

The course fitted a random forest to such trials to see which settings to spend time on. Look at them again with:

    lab importance which_settings_matter --effects effects.png
"""

from lab import Experiment, Study, log, use

base = Experiment(
    dataset=use("ratings", corpus="embedded"),
    architecture=use("dot_bias", n_factors=20),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.2),
    callbacks=["one_cycle"],
    metrics=["rmse"],
    lr=5e-3,
    batch_size=128,
    epochs=4,
)
study = Study(base, seeds=1).search(
    {
        "lr": log(3e-4, 3e-2),
        "optimizer.weight_decay": log(0.01, 3.0),
        "architecture.n_factors": log(2, 100),
        "architecture.dropout": (0.0, 0.5),
        "architecture.biases": [True, False],
        "sampler": ["shuffle", "sequential"],
    },
    trials=40,
    searcher="quasi_random",
)
