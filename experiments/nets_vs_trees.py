"""On a table, does a network with embeddings keep up with trees?

Nothing is downloaded: scikit-learn brings the table (breast_cancer, 569 rows). On the UCI census data, with LAB_DATA
set, with all of the training file to learn from and UCI's test file to be judged on:

    lab run experiments/nets_vs_trees.py --set dataset=adult --set dataset.valid=test --set dataset.exact_numbers=true
"""

from lab import Experiment, Study, use

net = {"layers": [256, 128], "dropout": 0.2, "embedding_dropout": 0.45, "embedding_size": 4, "batch_norm": False}
base = Experiment(
    dataset=use("bundled_table", name="breast_cancer"),
    architecture=use("tabular_mlp", **net),
    loss="cross_entropy",
    stepper="fit_or_step",
    optimizer=use("adamw", weight_decay=0.1),
    callbacks=["one_cycle"],
    metrics=["accuracy", "auc"],
    lr=3e-3,
    batch_size=128,
    valid_batch_size=4096,
    epochs=10,
)
study = Study(base, seeds=3, compare="valid_loss").swap(
    "architecture",
    {
        "periodic": use("tabular_mlp", numbers="periodic", **net),
        "linear": "linear",
        "boosted trees": use("sklearn", max_iter=300, learning_rate=0.06, max_leaf_nodes=15, l2_regularization=5.0),
        "random forest": use("sklearn", estimator="RandomForestClassifier", n_estimators=200, min_samples_leaf=3),
    },
)
