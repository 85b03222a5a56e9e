"""Does balancing the classes help?"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("points", count=64),
    architecture=use("mlp", hidden_size=8),
    loss="cross_entropy",
    lr=1e-2,
    batch_size=16,
    epochs=2,
)

study = Study(base, seeds=2).swap("sampler", {"balanced": use("balanced", share=0.5)})
