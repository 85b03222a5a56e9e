"""What a German drugstore sells on a day: a network with entity embeddings, as in lesson 3 of fast.ai 2018.

Needs the corpus rossmann in LAB_DATA. The last six weeks of the training file validate; the course reports 0.0988 for
the root of the mean squared relative error. The report shows where the network puts the German states,
and `distances.png` of a run whether stores with vectors near each other sell alike (Guo & Berkhahn 2016): the distances
of 1,115 stores' vectors and of what the network predicts for them have a rank correlation of 0.81 (seed 0, 6 minutes).

A submission to Kaggle, of a run with the key KEY; stores that are closed sell nothing:

    python -c "from lab_tabular.rossmann import rossmann_test_frame as f; f().to_csv('asked.csv', index=False)"
    lab predict KEY asked.csv --keep id --as Sales -o submission.csv
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("rossmann"),
    architecture=use(
        "tabular_mlp",
        embedding_rule="min_50",
        embedding_dropout=0.04,
        layers=[500, 250],
        dropout=[0.01, 0.02],
    ),
    loss="mse",
    optimizer=use("adamw", weight_decay=0.01),
    callbacks=["one_cycle", use("entity_maps", compare=True, distances="store")],
    metrics=["rmspe"],
    lr=2e-3,
    batch_size=512,
    valid_batch_size=8192,
    epochs=8,
)
study = Study(base, seeds=1)
