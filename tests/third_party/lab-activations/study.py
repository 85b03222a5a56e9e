"""Which activation is better, swish or the cube?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=64),
    architecture=use("bent", width=8, activation=use("swish", sharpness=2.0)),
    loss="cross_entropy",
    lr=1e-2,
    batch_size=16,
    epochs=2,
)

study = Study(base, seeds=2).swap("architecture.activation", {"cube": "cube"})
