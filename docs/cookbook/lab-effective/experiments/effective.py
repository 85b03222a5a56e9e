"""Does balancing the classes help, or is half of it enough?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=600),
    architecture="mlp",
    loss="cross_entropy",
    metrics=["accuracy"],
    lr=1e-2,
    batch_size=32,
    epochs=3,
)

study = Study(base, seeds=3).swap(
    "sampler",
    {"half": use("effective_number", beta=0.99), "balanced": use("effective_number", beta=1.0)},
)
