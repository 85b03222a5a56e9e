"""Adult in the settings of fast.ai's tabular lesson: what does a network reach in a single epoch, and what in three?

fast.ai 2019, lesson 4: six categories and three numbers, rows 800 to 999 validate, layers of 200 and 100, one epoch at
a constant rate of 0.01, with fastai's own AdamW (betas of 0.9 and 0.99, weight decay 0.01). The lesson printed a
training loss of 0.3628, a validation loss of 0.4132 and an accuracy of 0.785. Two hundred rows decide little: the
standard error of such an accuracy is 0.025. Departures: UCI's file of the training part has other persons in these
rows than the course's file. Arms: the rate follows one cycle, as in later lessons; three epochs. LAB_DATA must hold
the corpus.
"""

from lab import Experiment, Study, use

COLUMNS = [
    *("workclass", "education", "marital_status", "occupation", "relationship", "race"),
    *("age", "fnlwgt", "education_num"),
]

base = Experiment(
    dataset=use("adult", columns=COLUMNS, valid_rows=(800, 1000), normalize="standard"),
    architecture=use("tabular_mlp", layers=[200, 100]),
    loss="cross_entropy",
    optimizer=use("adamw", betas=(0.9, 0.99), weight_decay=0.01),
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=64,
    epochs=1,
)
study = (
    Study(base, seeds=3, compare="valid_accuracy").swap("callbacks", {"one cycle": ["one_cycle"]}).swap("epochs", [3])
)
