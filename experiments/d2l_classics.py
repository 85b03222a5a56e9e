"""The classics of *Dive into Deep Learning*, chapter 8, side by side.

Nothing is downloaded: scikit-learn's digits, enlarged to 72 pixels, one epoch to see that they learn. As in the
book, on Fashion-MNIST at 96 pixels, with LAB_DATA set and a GPU:

    lab run experiments/d2l_classics.py --set dataset=fashion_mnist --set dataset.size=96 --epochs 10 --device cuda
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("digits", size=72),
    architecture="lenet_bn",
    loss="cross_entropy",
    optimizer="adam",
    metrics=["accuracy"],
    lr=1e-3,
    batch_size=32,
    valid_batch_size=250,
    epochs=1,
)
study = Study(base, seeds=1, compare="valid_accuracy").swap(
    "architecture",
    {
        "AlexNet": use("alexnet", dense_size=512),
        "VGG": use("vgg", dense_size=512),
        "NiN": "nin",
        "GoogLeNet": "googlenet",
        "ResNet-18": "resnet18",
        "DenseNet": "densenet",
    },
)
