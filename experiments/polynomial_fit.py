"""Does a polynomial of too low a degree, or of too high a one, fit a cubic worse than a cubic does?

Under- and overfitting, *Dive into Deep Learning*, section 4.4 of the second Chinese edition: y = 5 + 1.2 x - 3.4 x²/2!
+ 5.6 x³/3! + noise of 0.1, 100 training and 100 test points, x from a standard normal distribution, features x^i/i!,
stochastic gradient descent on the squared error with a rate of 0.01 and batches of 10. The book trains 400 epochs with
degrees 3 and 1, and 1,500 with degree 19; here all have 400. It prints the weights 5.010, 1.235, -3.423 and 5.503 of
degree 3, and 3.405 and 3.994 of the line. The picture of each run has both losses and the fit.
"""

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

import lab
from lab import Study, use

TRUE = (5.0, 1.2, -3.4, 5.6)


def features_of(x: Tensor, degree: int) -> Tensor:
    """Return x^i / i! (N, degree + 1) of x (N,)."""
    # factorials beyond 170! have no float: each feature is the one before, times x / i
    factors = x[:, None] / torch.arange(1, degree + 1, dtype=x.dtype)
    return torch.cat([torch.ones(len(x), 1, dtype=x.dtype), factors], 1).cumprod(1)


def train(
    *,
    degree: NonNegativeInt = 3,
    epochs: PositiveInt = 400,
    lr: PositiveFloat = 0.01,
    points: PositiveInt = 100,
    run: lab.TaskRun,
) -> dict[str, float]:
    """Fit a polynomial; return its losses, the first coefficients, and the distance of all from the true ones."""
    draws, order = run.streams.generator("data"), run.streams.generator("order")
    x = torch.randn(2 * points, generator=draws)
    y = features_of(x, 3) @ torch.tensor(TRUE) + 0.1 * torch.randn(2 * points, generator=draws)
    inputs = features_of(x, degree)
    weights = torch.zeros(degree + 1)
    losses = []
    for epoch in range(epochs):
        for rows in torch.randperm(points, generator=order).split(10):
            error = inputs[rows] @ weights - y[rows]
            weights -= lr * 2 * (inputs[rows].T @ error) / len(rows)
        squares = (inputs @ weights - y).square()
        losses.append((float(squares[:points].mean()), float(squares[points:].mean())))
        if epoch % 20 == 19:
            run.log(epoch=epoch, train_loss=losses[-1][0], test_loss=losses[-1][1])
    draw(run, x, y, weights, losses)
    known = torch.zeros(max(degree + 1, len(TRUE)))
    known[: degree + 1] = weights
    known[: len(TRUE)] -= torch.tensor(TRUE)
    first = {f"weight_{power}": float(weight) for power, weight in enumerate(weights[: len(TRUE)])}
    return {"train_loss": losses[-1][0], "test_loss": losses[-1][1], "distance": float(known.norm()), **first}


def draw(run: lab.TaskRun, x: Tensor, y: Tensor, weights: Tensor, losses: list[tuple[float, float]]) -> None:
    """Save the losses by epoch, and the fit beside the points."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy([each[0] for each in losses], label="training points")
    left.semilogy([each[1] for each in losses], label="test points")
    left.set(xlabel="epoch", ylabel="squared error")
    left.legend()
    grid = torch.linspace(float(x.min()), float(x.max()), 200)
    right.scatter(x.numpy(), y.numpy(), s=8, alpha=0.5)
    right.plot(grid.numpy(), (features_of(grid, len(weights) - 1) @ weights).numpy(), color="tab:red")
    right.set(xlabel="x", ylabel="y", title="fit of all points")
    figure.savefig(folder / "polynomial.png", dpi=110)


study = Study(use(train, degree=3), seeds=10, compare="test_loss", higher_is_better=False).swap(
    "degree", {"a line": 1, "degree 19": 19}
)
