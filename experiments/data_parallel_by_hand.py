"""Does training on several devices by hand give the training of one device?

*Dive into Deep Learning*, section 12.5 of the second Chinese edition: the batch is split among replicas of the model,
each computes the gradients of its part, `all_reduce` adds them, and every replica makes the same step. The book trains
LeNet on Fashion-MNIST with a rate of 0.2 on GPUs; the replicas here are on one device, so they cost time and save none,
and `torchrun` with `lab run` trains on several for real. A test compares the gradients with those of PyTorch's DDP.
With LAB_DATA: `--set dataset=fashion_mnist --set architecture=lenet --set batch_size=256`.
"""

import copy

import torch
from torch import Tensor, nn

from lab import Experiment, Stepper, Study, use


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
    return nn.Sequential(nn.Flatten(), nn.Linear(input_size, 64), nn.ReLU(), nn.Linear(64, output_size))


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
