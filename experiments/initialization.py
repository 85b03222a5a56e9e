"""How should the weights of a deep network start, so that neither its activations nor its gradients vanish?

*Dive into Deep Learning*, sections 4.8 and 5.2 of the second Chinese edition. A network of 10 layers of 64 units learns
scikit-learn's digits, with plain gradient descent. Arms differ in the initial weights, at zero biases; with a constant,
all units of a layer stay equal (symmetry). The picture of each run has the spread of activations, and the norm of
gradients, by layer, of the first batch. Other activations: `--set activation=sigmoid`, `--set activation=relu`.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

import lab
from lab import Study, use

Init = Literal["normal", "constant", "xavier", "kaiming", "orthogonal"]
Activation = Literal["tanh", "relu", "sigmoid"]


def make_layers(sizes: list[int], init: Init, generator: torch.Generator) -> list[nn.Linear]:
    """Return linear layers whose weights start as asked: normal (0.01), one over the inputs, or by a published rule."""
    layers = [nn.Linear(before, after) for before, after in pairwise(sizes)]
    for layer in layers:
        nn.init.zeros_(layer.bias)
        if init == "normal":
            nn.init.normal_(layer.weight, std=0.01, generator=generator)
        elif init == "constant":
            nn.init.constant_(layer.weight, 1 / layer.in_features)
        elif init == "xavier":
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        elif init == "kaiming":
            nn.init.kaiming_normal_(layer.weight, generator=generator)
        else:
            nn.init.orthogonal_(layer.weight, generator=generator)
    return layers


def forward(layers: list[nn.Linear], x: Tensor, activation: Activation) -> list[Tensor]:
    """Return the activations of every hidden layer, and the logits."""
    function = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}[activation]
    found = []
    for layer in layers[:-1]:
        x = function(layer(x))
        found.append(x)
    return [*found, layers[-1](x)]


def train(
    *,
    init: Init = "xavier",
    activation: Activation = "tanh",
    depth: PositiveInt = 10,
    width: PositiveInt = 64,
    lr: PositiveFloat = 0.05,
    epochs: PositiveInt = 6,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Train the network; return its accuracy, and log₁₀ of the norms of the outer layers' first gradients."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = torch.tensor(bunch.data, dtype=torch.float32) / 8 - 1, torch.tensor(bunch.target)
    order = torch.randperm(len(x), generator=run.streams.generator("split"))
    train_rows, test_rows = order[:1400], order[1400:]
    layers = make_layers([64, *[width] * (depth - 1), 10], init, run.streams.generator("weights"))
    draws = run.streams.generator("order")
    weights = [each for layer in layers for each in layer.parameters()]
    for epoch in range(epochs):
        for number, rows in enumerate(train_rows[torch.randperm(1400, generator=draws)].split(32)):
            found = forward(layers, x[rows], activation)
            loss = functional.cross_entropy(found[-1], y[rows])
            gradients = torch.autograd.grad(loss, weights)
            if not epoch and not number:
                first = [float(each.std()) for each in found[:-1]], [float(each.norm()) for each in gradients[::2]]
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= lr * gradient
        with torch.no_grad():
            right = forward(layers, x[test_rows], activation)[-1].argmax(1) == y[test_rows]
        run.log(epoch=epoch, train_loss=float(loss.detach()), test_accuracy=float(right.float().mean()))
    draw(run, *first)
    norms = {"first_gradient": first[1][0], "last_gradient": first[1][-1]}
    # a gradient that underflows is 0
    logarithms = {f"log10_of_{name}": math.log10(max(norm, 1e-45)) for name, norm in norms.items()}
    return {"test_accuracy": float(right.float().mean()), **logarithms}


def draw(run: lab.TaskRun, spreads: list[float], norms: list[float]) -> None:
    """Save the spread of activations, and the norm of gradients, by layer."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, values, name in zip(figure.subplots(1, 2), (spreads, norms), ("activations", "gradients"), strict=True):
        axes.semilogy(range(1, len(values) + 1), [max(value, 1e-30) for value in values], marker="o")
        axes.set(xlabel="layer", title=f"{'standard deviation' if name == 'activations' else 'norm'} of {name}")
    figure.savefig(folder / "layers.png", dpi=110)


study = Study(use(train, init="xavier"), seeds=3, compare="test_accuracy", higher_is_better=True).swap(
    "init", ["normal", "constant", "kaiming", "orthogonal"]
)
