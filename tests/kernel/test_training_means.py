"""The validation loss of a split does not depend on how the split is cut into batches."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from lab_basics.losses import cross_entropy, nll
from lab_basics.steppers import Supervised as BasicSupervised
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from lab.errors import NonFiniteLossError
from lab.training import Data, Learner, Supervised, mean_over

IGNORED = -100
SIZES = (1, 7, 24)


def points() -> Data:
    """Three classes, of which one is rare; every third target is ignored."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(24, 4, generator=generator)
    labels = torch.randint(0, 3, (24,), generator=generator)
    labels[::3] = IGNORED
    return Data(TensorDataset(inputs, labels), TensorDataset(inputs, labels), fingerprint="points")


def linear(classes: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(4, classes)


def valid_losses(loss: Any, data: Data, stepper: Any = Supervised) -> list[float]:
    """The validation loss for several batch sizes."""
    learners = [
        Learner(linear(), data, loss, stepper=stepper(), valid_batch_size=size, progress=False) for size in SIZES
    ]
    return [learner.validate()["valid_loss"] for learner in learners]


def log_softmax_nll(output: Tensor, target: Tensor) -> Tensor:
    return nll(output.log_softmax(-1), target)


WEIGHTS = [0.2, 1.0, 7.0]


@pytest.mark.parametrize("stepper", [Supervised, BasicSupervised])
@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy,
        partial(cross_entropy, weight=WEIGHTS),
        functional.cross_entropy,
        partial(functional.cross_entropy, weight=torch.tensor(WEIGHTS)),
        partial(partial(functional.cross_entropy, ignore_index=IGNORED), reduction="sum"),
        nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS)),
        nn.CrossEntropyLoss(reduction="sum"),
    ],
)
def test_ignored_targets_and_class_weights_count_as_the_loss_counts_them(loss: Any, stepper: Any) -> None:
    *cut, whole = valid_losses(loss, points(), stepper)
    assert all(math.isclose(value, whole, rel_tol=1e-6) for value in cut)


def test_a_sum_is_reported_as_the_mean_that_it_would_be() -> None:
    mean = valid_losses(nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS)), points())
    total = valid_losses(nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS), reduction="sum"), points())
    assert total == pytest.approx(mean)


def test_class_probabilities_as_targets_count_by_example() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(24, 4, generator=generator), torch.rand(24, 3, generator=generator).softmax(-1)
    data = Data(TensorDataset(inputs, targets), TensorDataset(inputs, targets))
    *cut, whole = valid_losses(nn.CrossEntropyLoss(), data)
    assert cut == pytest.approx([whole] * 2)


@mean_over(lambda output, target, margin: (target != IGNORED).sum() * margin)
def stated(output: Tensor, target: Tensor, *, margin: float = 1.0) -> Tensor:
    kept = target != IGNORED
    return functional.cross_entropy(output[kept], target[kept]) if bool(kept.any()) else output.sum() * math.nan


def test_a_loss_states_its_mean_with_its_own_parameters() -> None:
    *cut, whole = valid_losses(partial(stated, margin=2.0), points())
    assert cut == pytest.approx([whole] * 2)


class Stated(nn.Module):
    """A loss that is a class."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return stated(output, target)

    def mean_over(self, output: Tensor, target: Tensor) -> Tensor:
        return (target != IGNORED).sum()


def test_a_loss_that_is_a_class_states_its_mean_by_a_method() -> None:
    *cut, whole = valid_losses(Stated(), points())
    assert cut == pytest.approx([whole] * 2)


def parts(output: Tensor, target: Any) -> Tensor:
    first, second = target.values() if isinstance(target, dict) else target
    return functional.mse_loss(output[:, :1], first) + functional.mse_loss(output[:, 1:], second)


class Nested(torch.utils.data.Dataset[Any]):
    """Targets in a list or a dictionary."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.values = torch.randn(24, 7, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        row = self.values[index]
        first, second = row[4:5], row[5:]
        return row[:4], {"first": first, "second": second} if self.kind is dict else [first, second]


@pytest.mark.parametrize("kind", [list, dict])
def test_targets_in_containers_are_counted(kind: type) -> None:
    *cut, whole = valid_losses(parts, Data(Nested(kind), Nested(kind)))
    assert cut == pytest.approx([whole] * 2)


def test_a_split_without_a_target_that_counts_fails_the_fit_and_says_why() -> None:
    data = points()
    nothing = TensorDataset(torch.randn(4, 4), torch.full((4,), IGNORED))
    learner = Learner(linear(), Data(data.train, nothing), functional.cross_entropy, progress=False)
    with pytest.raises(NonFiniteLossError, match="the validation loss is nan after epoch 1: no target counts"):
        learner.fit(1)
