"""Fine-tuned or from scratch: what does a published network bring to a thousand pictures of two classes?

*Dive into Deep Learning*, section 13.2 of the second Chinese edition: a ResNet-18 trained on ImageNet, random resized
crops of 224 pixels, mirrored at random, batches of 128, stochastic gradient descent with a weight decay of 0.001, 5
epochs, a rate of 5e-5 for the body and ten times as much for the new layer. With 2,000 pictures, of hot dogs and of
other things, the book prints 0.940, and 0.850 from scratch with a rate of 5e-4. Arms: no published weights, at the
rates of fine-tuning; and a body that stays as it is (the book's exercise).

Differs from it: dogs and cats. Needs dogs_cats and the weights resnet18 in LAB_DATA. From scratch as in the book, for
which no weights are needed, half an hour on two cores:

    lab run experiments/book_fine_tuning.py --arms base --set architecture.weights=null --set lr=5e-4
"""

from lab import Experiment, Study, use

CROPS = use("augment", pad=0, area=(0.08, 1.0))

base = Experiment(
    dataset=use("dogs_cats", size=224),
    architecture=use("resnet18", weights="resnet18"),
    loss="cross_entropy",
    optimizer=use("sgd", momentum=0.0, weight_decay=1e-3),
    callbacks=[CROPS],
    metrics=["accuracy"],
    lr=[5e-5, 5e-5, 5e-4],
    batch_size=128,
    valid_batch_size=100,
    epochs=5,
)
study = (
    Study(base, seeds=1, compare="valid_accuracy")
    .swap("architecture.weights", {"from scratch": None})
    .swap("callbacks", {"new layer alone": [CROPS, use("freeze", to=-1)]})
)
