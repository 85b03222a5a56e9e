"""Fine-tuned or from scratch: what does a trained network bring to 800 pictures?

*Dive into Deep Learning*, section 13.2 of the second Chinese edition: a ResNet-18 that knows other pictures, random
resized crops, mirrored at random, batches of 128, stochastic gradient descent with a weight decay of 0.001, 5 epochs,
and for the new layer ten times the rate of the body. With ImageNet's weights and 2,000 pictures, of hot dogs and of
other things, the book prints 0.940, and 0.850 from scratch. Arms: from scratch at the same rates; and a body that stays
as it is (the book's exercise).

Differs from it: dogs and cats, 800 pictures of 64 pixels, and a ResNet-18 that was trained on CIFAR-10 as the first
stage of this command, ten minutes on two cores; the 15 runs take six more. The book's rates of 5e-5 and 5e-4 are for
the sum of the losses of 128 pictures: 0.0064 and 0.064 for their mean, with which the loss rises here (accuracy 0.58,
one seed); these are a sixth of them. With five seeds, accuracy is 0.685, from scratch 0.563 (0.122 less, 95 % interval
0.024 to 0.220) and 0.690 with a body that stays as it is. With the weights of ImageNet, after `lab data get resnet18`,
and the book's sizes and rates:

    lab run experiments/book_fine_tuning.py --arms "new layer alone" --set dataset.size=224 \\
        --set architecture.weights=resnet18 --set 'callbacks=[augment(pad=0, area=[0.08, 1.0]), freeze(to=0)]' \\
        --set lr=[0.0064,0.0064,0.064]
"""

from lab import Experiment, Study, use


def cifar10() -> Experiment:
    """Return the pretraining: ten classes, enlarged."""
    return Experiment(
        dataset=use("cifar10", size=64),
        architecture="resnet18",
        loss="cross_entropy",
        optimizer=use("adamw", weight_decay=0.05),
        callbacks=["one_cycle", use("augment", pad=8)],
        metrics=["accuracy"],
        lr=2e-3,
        batch_size=128,
        valid_batch_size=500,
        epochs=6,
    )


base = Experiment(
    dataset=use("dogs_cats", size=64),
    architecture="resnet18",
    loss="cross_entropy",
    optimizer=use("sgd", momentum=0.0, weight_decay=1e-3),
    callbacks=[
        use("body_from", pretraining=cifar10, seed=0),
        use("augment", pad=0, area=(0.08, 1.0)),
        use("freeze", to=0),  # nothing; an arm has -1
    ],
    metrics=["accuracy"],
    lr=[0.001, 0.001, 0.01],
    batch_size=128,
    valid_batch_size=100,
    epochs=5,
)
study = (
    Study(base, seeds=5, compare="valid_accuracy")
    .remove("callbacks.body_from")
    .swap("callbacks.freeze.to", {"new layer alone": -1})
)
