"""Is a network on the logits of a frozen body as good as a new last layer?

*Dive into Deep Learning*, section 13.14 of the second Chinese edition, on 120 breeds of dogs: a ResNet-34 trained on
other pictures stays as it is, with the logits of its classes; 256 units with ReLU and a linear layer learn from these.
Random resized crops with 8 % or more of the picture, mirrored at random, colors jittered by 0.4, stochastic gradient
descent with momentum 0.9, a rate that falls by 0.9 every two epochs, weight decay 1e-4, batches of 32, 10 epochs. The
book prints a validation loss of 1.545 for its demonstration. Arm: a new layer replaces the logits.

Differs from it: dogs and cats of 48 pixels, since the breeds are Kaggle's, and a ResNet-34 that was trained on CIFAR-10
as the first stage of this command, seven minutes on two cores. The book's rate of 1e-4 is for the sum of the losses of
32 pictures; 0.0032 is the same for their mean. One seed: accuracy 0.505, 0.655 with a new last layer. With the weights
of ImageNet, after `lab data get resnet34`, as in the book:

    lab run experiments/book_dog_breeds.py --arms base --set dataset.size=224 --set architecture.body_size=1000 \\
        --set architecture.body.weights=resnet34 --set architecture.body.output_size=1000 \\
        --set 'callbacks=[freeze(to=-1), torch_schedule(scheduler=step_lr(step_size=2, gamma=0.9)),
        augment(pad=0, area=[0.08, 1.0], brightness=0.4, contrast=0.4, saturation=0.4)]'
"""

from lab import Experiment, Study, use


def cifar10() -> Experiment:
    """Return the pretraining: ten classes, 32 × 32 pixels."""
    return Experiment(
        dataset="cifar10",
        architecture="resnet34",
        loss="cross_entropy",
        optimizer=use("adamw", weight_decay=0.05),
        callbacks=["one_cycle", use("augment", pad=4)],
        metrics=["accuracy"],
        lr=2e-3,
        batch_size=128,
        valid_batch_size=500,
        epochs=6,
    )


base = Experiment(
    dataset=use("dogs_cats", size=48),
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
