"""Does linear regression written out end where torch's does? The settings of *Dive into Deep Learning*, 3.2 and 3.3.

1,000 points of y = 2 x₁ - 3.4 x₂ + 4.2 with noise of 0.01, batches of 10, stochastic gradient descent with a rate of
0.03, 3 epochs, weights from a normal distribution of 0.01 (second Chinese edition). By hand the loss is half of the
squared error; torch's is the squared error, whose gradient is twice as large. So it is in the book, which prints
0.0428, 0.000162 and 0.000051 (halves) by hand, and 0.000248, 0.000103 and 0.000103 with torch. `loss` is the mean
squared error in both arms here. The picture of a run has it by step.
"""

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

import lab
from lab import Study, use

TRUE, BIAS = torch.tensor([2.0, -3.4]), 4.2


def points(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return 1,000 points (N, 2) and their values (N,)."""
    x = torch.randn(1000, 2, generator=generator)
    return x, x @ TRUE + BIAS + 0.01 * torch.randn(1000, generator=generator)


def step_by_hand(weights: Tensor, bias: Tensor, x: Tensor, y: Tensor, lr: float) -> None:
    """Move weights (2,) and bias (1,) in place against the gradient of half of the mean squared error."""
    error = x @ weights + bias - y
    weights -= lr * (x.T @ error) / len(y)
    bias -= lr * error.mean()


def step_by_torch(model: nn.Linear, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """Step the optimizer on the mean squared error."""
    loss = nn.functional.mse_loss(model(x)[:, 0], y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def train(
    *,
    written: Literal["by hand", "torch"] = "by hand",
    lr: PositiveFloat = 0.03,
    epochs: PositiveInt = 3,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Fit the line, and return its mean squared error and the distance of its weights from the true ones."""
    x, y = points(run.streams.generator("data"))
    order = run.streams.generator("order")
    weights, bias = 0.01 * torch.randn(2, generator=run.streams.generator("weights")), torch.zeros(1)
    model = nn.Linear(2, 1)
    # the parameters are these tensors: both ways move the same numbers
    model.weight.data, model.bias.data = weights[None], bias
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=order).split(10):
            if written == "torch":
                step_by_torch(model, optimizer, x[rows], y[rows])
            else:
                step_by_hand(weights, bias, x[rows], y[rows], lr)
            losses.append(float((x @ weights + bias - y).square().mean()))
        run.log(epoch=epoch, loss=losses[-1])
    draw(run, losses)
    distance = torch.cat([weights - TRUE, bias - BIAS]).norm()
    return {"loss": losses[-1], "distance": float(distance)}


def draw(run: lab.TaskRun, losses: list[float]) -> None:
    """Save the mean squared error by step."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(losses)
    axes.axhline(1e-4, color="gray", linewidth=0.8, linestyle="--")
    axes.set(title="mean squared error (dashed: the noise)", xlabel="step")
    figure.savefig(folder / "loss.png", dpi=110)


study = (
    Study(use(train, written="by hand"), seeds=5, compare="loss", higher_is_better=False)
    .swap("written", {"torch": "torch"})
    .swap("lr", {"rate of 0.06": 0.06})
)
