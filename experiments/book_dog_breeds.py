"""Is a network on the logits of a frozen body as good as a new last layer?

*Dive into Deep Learning*, section 13.14 of the second Chinese edition, on 120 breeds of dogs: a ResNet-34 trained on
other pictures stays as it is, with the logits of its classes; 256 units with ReLU and a linear layer learn from these.
Random resized crops with 8 % or more of the picture, mirrored at random, colors jittered by 0.4, stochastic gradient
descent with momentum 0.9, a rate that falls by 0.9 every two epochs, weight decay 1e-4, batches of 32, 10 epochs. Arm:
a new layer replaces the logits.
"""

from lab import Experiment, Study, use


def cifar10() -> Experiment:
    """Return the pretraining: ten classes, enlarged."""
    return Experiment(
        dataset=use("cifar10", size=48),
        architecture="resnet34",
        loss="cross_entropy",
        optimizer=use("adamw", weight_decay=0.05),
        callbacks=["one_cycle", use("augment", pad=6)],
        metrics=["accuracy"],
        lr=2e-3,
        batch_size=128,
        valid_batch_size=500,
        epochs=6,
    )


base = Experiment(
    dataset=use("dogs_cats", size=64),
    architecture=use("logits_head", body=use("resnet34", output_size=10), body_size=10, hidden=[256]),
    loss="cross_entropy",
    optimizer=use("sgd", momentum=0.9, weight_decay=1e-4),
    callbacks=[
        use("body_from", pretraining=cifar10, seed=0),
        use("freeze", to=-1),
        use("augment", pad=0, area=(0.08, 1.0), brightness=0.4, contrast=0.4, saturation=0.4),
        use("torch_schedule", scheduler=use("step_lr", step_size=2, gamma=0.9)),
    ],
    metrics=["accuracy"],
    lr=0.0032,
    batch_size=32,
    valid_batch_size=100,
    epochs=10,
)
study = Study(base, seeds=1, compare="valid_accuracy").swap(
    "architecture",
    {"a new last layer": use("transfer", body="resnet34", pool="average", hidden=[])},
)
