"""Do softmax regression and a perceptron that are written out learn what torch's layers learn?

*Dive into Deep Learning*, sections 3.6, 3.7, 4.2 and 4.3 of the second Chinese edition: a linear layer from pixels to
ten classes, and one hidden layer of 256 units with ReLU; softmax, cross-entropy and layers by hand, and torch's.
Weights start from N(0, 0.01²), biases at 0; stochastic gradient descent with a rate of 0.1, batches of 256, 10 epochs.
The book draws the accuracy, and asserts that it is above 0.7 on test pictures. It has Fashion-MNIST with pixels from 0
to 1; here they are standardized, and scikit-learn's digits, in batches of 32, need no download. With LAB_DATA:

    lab run experiments/softmax_by_hand.py --set dataset=fashion_mnist --set batch_size=256
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from lab_basics.checks import check_sizes
from torch import Tensor, nn

from lab import Experiment, Study, part, use


class ByHand(nn.Module):
    """Linear layers, each x W + b, with ReLU between them.

    Args:
        input_size: number of pixels.
        output_size: number of classes.
        layers: sizes of the hidden layers.
    """

    def __init__(self, input_size: int, output_size: int, *, layers: Sequence[int] = ()) -> None:
        super().__init__()
        check_sizes("architecture 'ByHand'", layers=layers)
        sizes = [input_size, *layers, output_size]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, (before, after) in enumerate(pairwise(sizes)):
            with part(f"layer {number}"):
                self.weights.append(nn.Parameter(0.01 * torch.randn(before, after)))
            self.biases.append(nn.Parameter(torch.zeros(after)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of pictures (B, C, H, W)."""
        x = images.flatten(1)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (x.clamp(min=0) if number else x) @ weight + bias
        return x


def softmax(logits: Tensor) -> Tensor:
    """Return probabilities: (B, K) -> (B, K). The book's overflows; the largest logit is subtracted first here."""
    powers = (logits - logits.amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


def cross_entropy_by_hand(logits: Tensor, target: Tensor) -> Tensor:
    """Mean negative logarithm of the probability of the right class.

    Shapes:
        logits (B, K), target (B,) -> scalar
    """
    return -softmax(logits)[torch.arange(len(target)), target].log().mean()


base = Experiment(
    dataset="digits",
    architecture=use(ByHand),
    loss=use(cross_entropy_by_hand),
    sampler="shuffle",
    optimizer="sgd",
    callbacks=[use("init", weights="normal", std=0.01)],
    metrics=["accuracy"],
    lr=0.1,
    batch_size=32,
    epochs=10,
)
study = (
    Study(base, seeds=3, compare="valid_accuracy")
    .swap("architecture", {"torch's layer": "softmax"})
    .swap("loss", {"torch's cross-entropy": "cross_entropy"})
    .swap("architecture", {"perceptron by hand": use(ByHand, layers=[256]), "torch's perceptron": "image_mlp"})
)
