"""From a linear net to a residual one: what does each step of the course's ladder bring?

fast.ai 2018, lesson 7. Nothing is downloaded: scikit-learn's digits. On CIFAR-10, with LAB_DATA set:

    lab run experiments/cifar_ladder.py --set dataset=cifar10 --epochs 10
    lab compare cifar_ladder --stepwise
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("digits", size=16),
    architecture="simple_net",
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=5,
)
steps = ("conv_net", "conv_net2", "bn_net", "conv_bn_net2", "resnet_small", "resnet2")
study = Study(base, seeds=3, compare="valid_accuracy").swap("architecture", dict(zip(steps, steps, strict=True)))
