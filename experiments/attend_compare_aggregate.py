"""Which step of decomposable attention does inference between sentences need: attend, compare, or aggregate?

Nothing is downloaded: the pairs are an English and a French question, and the class says whether one translates the
other. With LAB_DATA set, there is `--set dataset=snli`.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="embedded_pairs",
    architecture=use("decomposable_attention", embedding_dim=64, hidden_size=64),
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    callbacks=["one_cycle", "look_at_texts"],
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    epochs=6,
)

study = (
    Study(base, seeds=3, compare="valid_accuracy")
    .swap("architecture.attend", {"no attend": False})
    .swap("architecture.compare", {"no compare": False})
    .swap("architecture.aggregate", {"no aggregate": False})
)
