r"""Does training on several devices by hand give the training of one device?

*Dive into Deep Learning*, section 12.5 of the second Chinese edition: the batch is split among replicas of the model,
each computes the gradients of its part, `all_reduce` adds them, and every replica makes the same step. The replicas
here are on one device, so they cost time and save none, and `torchrun` with `lab run` trains on several for real. A
test compares the gradients with those of PyTorch's DDP. Departures: a perceptron on scikit-learn's digits, a rate of
0.1. The book's own net, a LeNet with ReLU and weights from N(0, 0.01²), on Fashion-MNIST at 0.2, with LAB_DATA:

    lab run experiments/data_parallel_by_hand.py --set dataset=fashion_mnist --set architecture=book_lenet \
        --set batch_size=256 --set lr=0.2 --epochs 10
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from lab_basics.checks import check_sizes
from torch import Tensor, nn

from lab import Experiment, Stepper, Study, hookimpl, part, use
from lab.errors import ParameterError


def all_reduce(gradients: list[list[Tensor]]) -> None:
    """Replace every replica's gradients by their sum over replicas, in place."""
    for same in zip(*gradients, strict=True):
        total = torch.stack(list(same)).sum(0)
        for each in same:
            each.copy_(total)


class ByHand(Stepper):
    """Step of data-parallel training written out: split, gradients, all-reduce, the same step everywhere.

    Args:
        devices: number of replicas; parts of a batch may differ by one example, and weigh by their size.
    """

    def __init__(self, *, devices: int = 2) -> None:
        check_sizes("stepper 'ByHand'", devices=devices)
        self.devices = devices

    def train_step(self, batch: tuple[Tensor, ...]) -> Tensor:
        *inputs, target = batch
        model = self.learner.model
        replicas = [model, *(copy.deepcopy(model) for _ in range(self.devices - 1))]
        parts = list(zip(*(each.tensor_split(self.devices) for each in (*inputs, target)), strict=True))
        loss = target.new_zeros((), dtype=torch.float32)
        gradients = []
        for replica, (*own, wanted) in zip(replicas, parts, strict=True):
            if not len(wanted):
                continue
            share = self.learner.loss(replica(*own), wanted) * (len(wanted) / len(target))
            gradients.append(list(torch.autograd.grad(share, list(replica.parameters()))))
            loss = loss + share.detach()
        all_reduce(gradients)
        for weight, gradient in zip(model.parameters(), gradients[0], strict=True):
            weight.grad = gradient
        # the other replicas would make the same step; here they are copied anew before the next one
        self.optimizer_step()
        return loss

    def valid_step(self, batch: tuple[Tensor, ...]) -> object:
        *inputs, target = batch
        return self.evaluation(self.learner.model(*inputs), target)


def make_net(input_size: int, output_size: int) -> nn.Module:
    """Return a perceptron with one hidden layer of 64 units, for pictures."""
    with part("net"):
        return nn.Sequential(nn.Flatten(), nn.Linear(input_size, 64), nn.ReLU(), nn.Linear(64, output_size))


class BookLeNet(nn.Module):
    """LeNet of section 12.5: ReLU, average pooling, and weights from N(0, 0.01²); for gray pictures of 28 pixels.

    Its inputs are pixels from 0 to 1, as the book's, so that the standardization of the dataset is undone first.
    """

    def __init__(
        self,
        output_size: int,
        channel_mean: Sequence[float],
        channel_std: Sequence[float],
        image_size: tuple[int, int] = (28, 28),
    ) -> None:
        super().__init__()
        if tuple(image_size) != (28, 28):
            height, width = image_size
            raise ParameterError(
                f"it is for pictures of 28 × 28 pixels, these have {height} × {width}",
                where="architecture 'book_lenet'",
                hint="dataset=fashion_mnist",
            )
        self.mean, self.deviation = (torch.tensor(each)[:, None, None] for each in (channel_mean, channel_std))
        with part("net"):
            self.net = nn.Sequential(
                nn.Conv2d(1, 20, 3),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Conv2d(20, 50, 5),
                nn.ReLU(),
                nn.AvgPool2d(2),
                nn.Flatten(),
                nn.Linear(800, 128),
                nn.ReLU(),
                nn.Linear(128, output_size),
            )
            for layer in self.net:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.normal_(layer.weight, std=0.01)
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of pictures (B, 1, 28, 28)."""
        logits: Tensor = self.net(images * self.deviation + self.mean)
        return logits


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Name the book's net, so that ``--set architecture=book_lenet`` finds it."""
    return {"book_lenet": BookLeNet}


base = Experiment(
    dataset="digits",
    architecture=use(make_net),
    loss="cross_entropy",
    stepper=use(ByHand, devices=1),
    optimizer="sgd",
    metrics=["accuracy"],
    lr=0.1,
    batch_size=64,
    epochs=5,
)
study = Study(base, seeds=3, compare="valid_accuracy").swap(
    "stepper", {"two": use(ByHand, devices=2), "four": use(ByHand, devices=4), "the loop of lab": "supervised"}
)
