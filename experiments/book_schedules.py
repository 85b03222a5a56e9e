"""Which schedule of the learning rate brings LeNet furthest on Fashion-MNIST?

*Dive into Deep Learning*, section 11.11 of the second Chinese edition: a LeNet with ReLU and maximum pooling, pixels
from 0 to 1, batches of 256, stochastic gradient descent, 30 epochs, and the formulas of the book for the rate of each
epoch, all as factors of 0.3. Departures: the book's loop asks its own schedules (square root, cosine) after an epoch,
so that each rate comes one epoch later than here, and the first epoch has the optimizer's: 0.1 for the square root, 0.3
for the cosines. Warm-up therefore begins with an epoch at 0.3 and one at 0; here with the one at 0, which changes
nothing. The book steps its multistep scheduler 30 times for a plot before it trains, so that its figure is of a
constant rate of 0.125. Needs the corpus fashion_mnist in LAB_DATA. On 10,000 pictures:

    lab run experiments/book_schedules.py --set dataset.max_examples=10000
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lab import Experiment, Study, use

RATE = 0.3


class ReLULeNet(nn.Module):
    """LeNet-5 with ReLU and maximum pooling, as in the section on schedules; for gray pictures of 28 pixels.

    Its inputs are pixels from 0 to 1, as the book's, so that the standardization of the dataset is undone first.
    """

    def __init__(self, output_size: int, channel_mean: Sequence[float], channel_std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.deviation = (torch.tensor(each)[:, None, None] for each in (channel_mean, channel_std))
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, output_size),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of pictures (B, 1, 28, 28)."""
        logits: Tensor = self.net(images * self.deviation + self.mean)
        return logits


def square_root(epoch: int) -> float:
    """Return the rate 0.1 (t + 1)^-0.5, as a factor of the base's."""
    return 0.1 * (epoch + 1) ** -0.5 / RATE


def multistep(epoch: int) -> float:
    """Return the rate 0.5, halved after epochs 15 and 30, as a factor."""
    return 0.5 * 0.5 ** ((epoch >= 15) + (epoch >= 30)) / RATE


def cosine(epoch: int) -> float:
    """Return the rate that falls from 0.3 to 0.01 over 20 epochs as half a cosine, as a factor."""
    return (0.01 + (0.3 - 0.01) * (1 + math.cos(math.pi * min(epoch, 20) / 20)) / 2) / RATE


def warmed_up(epoch: int) -> float:
    """Return the rate that rises to 0.3 in 5 epochs, then falls to 0.01 until epoch 20, as a factor."""
    if epoch < 5:
        return epoch * 0.3 / 5 / RATE
    return (0.01 + (0.3 - 0.01) * (1 + math.cos(math.pi * min(epoch - 5, 15) / 15)) / 2) / RATE


def scheduled(rate: object) -> list[object]:
    """Return callbacks that multiply the rate by a function of the epoch."""
    return [use("torch_schedule", scheduler=use("lambda_lr", lr_lambda=rate))]


base = Experiment(
    dataset="fashion_mnist",
    architecture=use(ReLULeNet),
    loss="cross_entropy",
    optimizer="sgd",
    metrics=["accuracy"],
    lr=RATE,
    batch_size=256,
    epochs=30,
)
study = Study(base, seeds=1, compare="valid_accuracy").swap(
    "callbacks",
    {
        "square root": scheduled(square_root),
        "multistep": scheduled(multistep),
        "cosine": scheduled(cosine),
        "cosine, warmed up": scheduled(warmed_up),
    },
)
