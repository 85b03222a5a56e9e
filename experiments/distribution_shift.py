"""Can weights of the training examples undo a shift between training and test data?

*Dive into Deep Learning*, section 4.9 of the second Chinese edition. Covariate shift: the inputs of training and test
come from different distributions, the rule is the same; a logistic classifier h tells them apart, and a training
example counts exp(h(x)). Label shift: classes have other frequencies; the confusion matrix C of validation data and the
mean prediction μ on test inputs give the test frequencies C⁻¹ μ. Targets of the test data are used for the score only.
The correction is the arm; the other kind of shift: `--set shift=label`. Inputs are generated, from normal distributions
in two dimensions.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

import lab
from lab import Study, use

Shift = Literal["covariate", "label"]


def logistic(x: Tensor, target: Tensor, weights: Tensor, classes: int = 2, steps: int = 300) -> Tensor:
    """Return the weights (D + 1, K) of a softmax regression on weighted examples, by gradient descent."""
    inputs = torch.cat([x, torch.ones(len(x), 1)], 1)
    fitted = torch.zeros(inputs.shape[1], classes)
    truth = functional.one_hot(target, classes).float()
    for _ in range(steps):
        error = (inputs @ fitted).softmax(1) - truth
        fitted -= 0.5 * inputs.T @ (weights[:, None] * error) / weights.sum()
    return fitted


def logits_of(x: Tensor, fitted: Tensor) -> Tensor:
    """Return the logits (N, K) of a softmax regression."""
    return torch.cat([x, torch.ones(len(x), 1)], 1) @ fitted


def covariate_weights(train: Tensor, test: Tensor) -> Tensor:
    """Return exp(h(x)) of the training inputs, where h tells test inputs from training inputs."""
    both = torch.cat([train, test])
    is_test = torch.cat([torch.zeros(len(train)), torch.ones(len(test))]).long()
    fitted = logistic(both, is_test, torch.ones(len(both)))
    logits = logits_of(train, fitted)
    return (logits[:, 1] - logits[:, 0]).exp().clamp(max=50)


def test_frequencies(confusion: Tensor, predicted: Tensor) -> Tensor:
    """Return the class frequencies (K,) of the test data: C⁻¹ μ, cut at 0.

    Args:
        confusion: (K, K) fraction of class j (column) that is predicted as i (row), each column summing to 1.
        predicted: (K,) fraction of the test inputs that is predicted as each class.
    """
    found = torch.linalg.solve(confusion, predicted).clamp(min=0)
    return found / found.sum()


test_frequencies.__test__ = False  # type: ignore[attr-defined]


def train(
    *, shift: Shift = "covariate", corrected: bool = False, count: Annotated[int, Field(ge=20)] = 2000, run: lab.TaskRun
) -> dict[str, float]:
    """Train a classifier on shifted data, and return its accuracy on the test data."""
    # fewer hold no example of one of the classes
    draws = run.streams.generator("data")
    x, y = sample(shift, count, train=True, draws=draws)
    held, held_y = sample(shift, count, train=True, draws=draws)
    test, test_y = sample(shift, count, train=False, draws=draws)
    weights = torch.ones(count)
    plain = logistic(x, y, weights)
    if corrected and shift == "covariate":
        weights = covariate_weights(x, test)
    elif corrected:
        guesses = logits_of(held, plain).argmax(1)
        confusion = functional.one_hot(guesses, 2).float().T @ functional.one_hot(held_y, 2).float()
        predicted = functional.one_hot(logits_of(test, plain).argmax(1), 2).float().mean(0)
        frequencies = test_frequencies(confusion / confusion.sum(0), predicted)
        weights = (frequencies / torch.bincount(y, minlength=2).div(count))[y]
    fitted = logistic(x, y, weights)
    run.log(train_loss=float(functional.cross_entropy(logits_of(x, fitted), y)))
    draw(run, x, test, weights)
    right = logits_of(test, fitted).argmax(1) == test_y
    return {"test_accuracy": float(right.float().mean()), "effective": float(weights.sum() ** 2 / (weights**2).sum())}


def sample(shift: Shift, count: int, *, train: bool, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return inputs (N, 2) and classes (N,) of the training or the test distribution."""
    if shift == "covariate":
        # The classes are divided by a curve, of which a straight line can follow only the part that it is shown.
        x = torch.randn(count, 2, generator=draws) + torch.tensor([-0.5 if train else 1.5, 0.0])
        return x, (x[:, 1] > torch.sin(1.5 * x[:, 0])).long()
    y = (torch.rand(count, generator=draws) < (0.5 if train else 0.9)).long()
    return torch.randn(count, 2, generator=draws) + (2 * y[:, None] - 1) * torch.tensor([0.7, 0.3]), y


def draw(run: lab.TaskRun, x: Tensor, test: Tensor, weights: Tensor) -> None:
    """Save test inputs, and training inputs with areas in proportion to their weights."""
    from matplotlib.figure import Figure

    folder = run.folder / "artefacts"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(*test.T.numpy(), s=4, color="lightgray", label="test inputs")
    axes.scatter(*x.T.numpy(), s=(6 * weights / weights.mean()).numpy(), alpha=0.5, label="training inputs, by weight")
    axes.set(xlabel="first input", ylabel="second input")
    axes.legend()
    figure.savefig(folder / "shift.png", dpi=110)


study = Study(use(train, corrected=False), seeds=10, compare="test_accuracy", higher_is_better=True).swap(
    "corrected", {"corrected": True}
)
