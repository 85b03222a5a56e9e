"""Does weight decay help where twenty examples meet two hundred inputs?

*Dive into Deep Learning*, section 4.5 of the second Chinese edition: y = 0.05 + Σ 0.01 x_i + noise of 0.01, 200 inputs
from a standard normal distribution, 20 training and 100 test examples, weights that start at random, stochastic
gradient descent by hand with a rate of 0.003, batches of 5 and 100 epochs. The penalty is λ/2 ‖w‖², and the loss half
the squared error. The book printed ‖w‖ = 12.96 without and 0.356 with λ = 3.
"""

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

import lab
from lab import Study, use


def descend(
    inputs: Tensor, target: Tensor, decay: float, lr: float, draws: torch.Generator, epochs: int
) -> list[Tensor]:
    """Return the weights and the bias (D + 1,) after each epoch, from a random start."""
    weights = torch.cat([torch.randn(inputs.shape[1], generator=draws), torch.zeros(1)])
    kept = []
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs), generator=draws).split(5):
            error = inputs[rows] @ weights[:-1] + weights[-1] - target[rows]
            weights[:-1] -= lr * (inputs[rows].T @ error / len(rows) + decay * weights[:-1])
            weights[-1] -= lr * error.mean()
        kept.append(weights.clone())
    return kept


def train(
    *,
    decay: NonNegativeFloat = 0.0,
    inputs: PositiveInt = 200,
    examples: PositiveInt = 20,
    lr: PositiveFloat = 0.003,
    epochs: PositiveInt = 100,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Train a linear model, and return its losses and the norm of its weights."""
    draws = run.streams.generator("data")
    x = torch.randn(examples + 100, inputs, generator=draws)
    y = 0.05 + 0.01 * x.sum(1) + 0.01 * torch.randn(len(x), generator=draws)
    kept = descend(x[:examples], y[:examples], decay, lr, run.streams.generator("weights"), epochs)
    squares = torch.stack([((x @ each[:-1] + each[-1] - y) ** 2) / 2 for each in kept])
    losses = torch.stack([squares[:, :examples].mean(1), squares[:, examples:].mean(1)], 1)
    for epoch in range(9, epochs, 10):
        run.log(epoch=epoch, train_loss=float(losses[epoch, 0]), test_loss=float(losses[epoch, 1]))
    draw(run, losses)
    return {
        "train_loss": float(losses[-1, 0]),
        "test_loss": float(losses[-1, 1]),
        "norm": float(kept[-1][:-1].norm()),
    }


def draw(run: lab.TaskRun, losses: Tensor) -> None:
    """Save both losses by epoch."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(losses[:, 0].numpy(), label="20 training examples")
    axes.semilogy(losses[:, 1].numpy(), label="100 test examples")
    axes.set(xlabel="epoch", ylabel="half the squared error")
    axes.legend()
    figure.savefig(folder / "weight_decay.png", dpi=110)


study = Study(use(train, decay=0.0), seeds=10, compare="test_loss", higher_is_better=False).swap(
    "decay", {"decay 3": 3.0}
)
