"""Is a network on the 1,000 logits of a frozen body as good as a new last layer?

*Dive into Deep Learning*, section 13.14 of the second Chinese edition, on 120 breeds of dogs: a ResNet-34 trained on
ImageNet stays as it is, with its logits of 1,000 classes; 256 units with ReLU and a linear layer learn from these.
Random resized crops of 224 pixels (8 % or more of the picture), mirrored at random, colors jittered by 0.4, stochastic
gradient descent with momentum 0.9, a rate of 1e-4 that falls by 0.9 every two epochs, weight decay 1e-4, batches of 32,
10 epochs. The book prints a validation loss of 1.545 for its demonstration. Arm: a new layer replaces the logits.

Differs from it: dogs and cats, since the breeds are Kaggle's. Needs dogs_cats and the weights resnet34 in LAB_DATA.
With the weights of another run of the same architecture instead:

    lab run experiments/book_dog_breeds.py --set architecture.body.weights=runs/.store/KEY
"""

from lab import Experiment, Study, use

BODY = use("resnet34", weights="resnet34", output_size=1000)
base = Experiment(
    dataset=use("dogs_cats", size=224),
    architecture=use("logits_head", body=BODY, hidden=[256]),
    loss="cross_entropy",
    optimizer=use("sgd", momentum=0.9, weight_decay=1e-4),
    callbacks=[
        use("freeze", to=-1),
        use("augment", pad=0, area=(0.08, 1.0), brightness=0.4, contrast=0.4, saturation=0.4),
        use("torch_schedule", scheduler=use("step_lr", step_size=2, gamma=0.9)),
    ],
    metrics=["accuracy"],
    lr=1e-4,
    batch_size=32,
    valid_batch_size=100,
    epochs=10,
)
study = Study(base, seeds=1, compare="valid_accuracy").swap(
    "architecture",
    {"a new last layer": use("transfer", body=use("resnet34", weights="resnet34"), pool="average", hidden=[])},
)
