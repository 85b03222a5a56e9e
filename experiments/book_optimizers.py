"""Does the optimizer matter to a linear model that every one of them can fit?

*Dive into Deep Learning*, sections 11.5 to 11.10 of the second Chinese edition, each with the book's rate and batch:
all rows, single ones, batches of 100 and of 10; momentum, AdaGrad, RMSProp, Adadelta, Adam and Yogi. The rules are
those of `lab_basics.written`, which are written out. Weights start from N(0, 0.01²); the loss is half of the mean
squared error of standardized numbers, on all rows, which are trained on as well. The book prints 0.243 to 0.248 after
two passes over 1,500 rows of airfoil noise, which `lab` does not have; 442 patients with diabetes come with
scikit-learn, and seven passes are as many examples. The best linear model has 0.241 there. On all rows, a rate of 1
diverges: the largest eigenvalue of the covariance is 4.0 here, and descent bears 2.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from lab_basics.optimizers import Yogi
from lab_basics.written import WrittenAdadelta, WrittenAdaGrad, WrittenAdam, WrittenRMSProp, WrittenSGD
from pydantic import PositiveInt
from torch import Tensor, nn

import lab
from lab import Study, use

Name = Literal[
    "batches of 10",
    "all rows",
    "single rows",
    "batches of 100",
    "momentum 0.5",
    "momentum 0.9",
    "momentum 0.9, slower",
    "adagrad",
    "rmsprop",
    "adadelta",
    "adam",
    "yogi",
]


class Rule(NamedTuple):
    """An optimizer with the book's rate and batch.

    Attributes:
        make: takes parameters, the rate and options.
        rate: learning rate.
        batch: rows of a step; None for all.
        options: of the optimizer.
    """

    make: Callable[..., torch.optim.Optimizer]
    rate: float
    batch: int | None = 10
    options: dict[str, Any] = {}  # noqa: RUF012


RULES: dict[Name, Rule] = {
    "batches of 10": Rule(WrittenSGD, 0.05),
    "all rows": Rule(WrittenSGD, 1.0, batch=None),
    "single rows": Rule(WrittenSGD, 0.005, batch=1),
    "batches of 100": Rule(WrittenSGD, 0.4, batch=100),
    "momentum 0.5": Rule(WrittenSGD, 0.02, options={"momentum": 0.5}),
    "momentum 0.9": Rule(WrittenSGD, 0.01, options={"momentum": 0.9}),
    "momentum 0.9, slower": Rule(WrittenSGD, 0.005, options={"momentum": 0.9}),
    "adagrad": Rule(WrittenAdaGrad, 0.1),
    "rmsprop": Rule(WrittenRMSProp, 0.01, options={"rho": 0.9}),
    "adadelta": Rule(WrittenAdadelta, 1.0, options={"rho": 0.9}),
    "adam": Rule(WrittenAdam, 0.01),
    "yogi": Rule(Yogi, 0.01),
}


def diabetes() -> tuple[Tensor, Tensor]:
    """Return the standardized numbers (442, 10) and the standardized progress of the disease (442,)."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    rows, target = (torch.tensor(each, dtype=torch.float32) for each in (bunch.data, bunch.target))
    return (rows - rows.mean(0)) / rows.std(0), (target - target.mean()) / target.std()


def train(*, optimizer: Name = "batches of 10", epochs: PositiveInt = 7, run: lab.TaskRun) -> dict[str, float]:
    """Fit the linear model, and return half of its mean squared error on all rows.

    Args:
        optimizer: its rule, with a rate and a batch.
        epochs: passes; descent on all rows makes ten steps, as in the book.
    """
    rule = RULES[optimizer]
    rows, target = diabetes()
    order = run.streams.generator("order")
    model = nn.Linear(rows.shape[1], 1)
    nn.init.normal_(model.weight, std=0.01, generator=run.streams.generator("weights"))
    nn.init.zeros_(model.bias)
    steps = rule.make(model.parameters(), rule.rate, **rule.options)
    for epoch in range(10 if rule.batch is None else epochs):
        for chosen in torch.randperm(len(rows), generator=order).split(rule.batch or len(rows)):
            steps.zero_grad()
            half_of_square(model, rows[chosen], target[chosen]).backward()
            steps.step()
        with torch.no_grad():
            loss = float(half_of_square(model, rows, target))
        run.log(epoch=epoch, loss=loss)
    return {"loss": loss}


def half_of_square(model: nn.Module, rows: Tensor, target: Tensor) -> Tensor:
    """Return half of the mean squared error, of rows (N, D) and targets (N,)."""
    return (model(rows)[:, 0] - target).square().mean() / 2


_, *others = RULES
study = Study(use(train, optimizer="batches of 10"), seeds=5, compare="loss", higher_is_better=False, margin=0.01).swap(
    "optimizer", others
)
