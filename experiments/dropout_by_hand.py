"""Does dropout help a network of two hidden layers, and is dropout by hand the same as torch's?

*Dive into Deep Learning*, section 4.6 of the second Chinese edition: two hidden layers of 256 units, dropout of 0.2
after the first and 0.5 after the second, stochastic gradient descent with a rate of 0.5, batches of 256, 10 epochs. The
book has Fashion-MNIST; scikit-learn's digits, in batches of 64 with a rate of 0.1, need no download. With LAB_DATA:

    lab run experiments/dropout_by_hand.py --set dataset=fashion_mnist --set batch_size=256 --set lr=0.5
"""

import torch
from torch import Tensor, nn

from lab import Experiment, Study, part, use


class HandDropout(nn.Module):
    """Dropout written out: set values to 0 with a probability, and divide the others by that of staying."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability lies in [0, 1], got {probability}")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.probability:
            return x
        if self.probability == 1:
            return torch.zeros_like(x)
        stays = torch.rand_like(x) > self.probability
        return stays * x / (1 - self.probability)


class TwoLayers(nn.Module):
    """Multilayer perceptron with two hidden layers of 256 units, and a dropout after each."""

    def __init__(
        self, input_size: int, output_size: int, *, dropouts: tuple[float, float] = (0.2, 0.5), by_hand: bool = False
    ) -> None:
        super().__init__()
        kind = HandDropout if by_hand else nn.Dropout
        with part("hidden"):
            hidden = nn.Linear(input_size, 256), nn.Linear(256, 256)
        with part("output"):
            output = nn.Linear(256, output_size)
        first, second = (kind(each) for each in dropouts)
        self.net = nn.Sequential(hidden[0], nn.ReLU(), first, hidden[1], nn.ReLU(), second, output)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of pictures (B, C, H, W)."""
        logits: Tensor = self.net(images.flatten(1))
        return logits


base = Experiment(
    dataset="digits",
    architecture=use(TwoLayers, dropouts=(0.2, 0.5)),
    loss="cross_entropy",
    sampler="shuffle",
    optimizer="sgd",
    metrics=["accuracy"],
    lr=0.1,
    batch_size=64,
    epochs=10,
)
study = (
    Study(base, seeds=3, compare="valid_accuracy")
    .swap("architecture.by_hand", {"by hand": True})
    .swap("architecture.dropouts", {"no dropout": (0.0, 0.0)})
)
