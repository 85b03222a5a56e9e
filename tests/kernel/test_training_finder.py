"""The learning-rate finder leaves no trace, and finds what is there to be found."""

from __future__ import annotations

import copy

import attrs
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from lab.errors import ParameterError
from lab.training import Callback, Data, Learner
from lab.training.tools.lr_finder import longest_fall, smoothed
from tests.kernel.training_toys import toy_data, toy_learner


class Remembering(nn.Module):
    """A network with dropout, batch norm, and a state that it carries from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.state = None

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        self.calls = self.calls + 1
        self.state = points.mean(0) if self.state is None else 0.5 * self.state + points.mean(0)
        return self.layers(points + self.state.detach())


def _learner(**options: object) -> Learner:
    torch.manual_seed(0)
    settings: dict[str, object] = {"lr": 1e-2, "batch_size": 8, "progress": False, **options}
    return Learner(Remembering(), toy_data(), nn.functional.cross_entropy, **settings)  # type: ignore[arg-type]


def _everything(learner: Learner) -> list[torch.Tensor]:
    """Every tensor of a learner, in one order."""
    model = learner.model
    state = learner.optimizer.state_dict()["state"]
    return [
        *(value.clone() for value in model.state_dict().values()),
        model.calls,
        torch.zeros(0) if model.state is None else model.state,
        *(value for index in sorted(state) for _, value in sorted(state[index].items())),
        *(position for _, position in sorted(learner.streams.state_dict().items())),
        torch.get_rng_state(),
        torch.tensor([group["lr"] for group in learner.optimizer.param_groups]),
    ]


@pytest.mark.parametrize("epochs_before", [0, 1])
def test_find_lr_leaves_not_one_bit_changed(epochs_before):
    learner = _learner()
    learner.train_sampler  # noqa: B018 (made at first use)
    learner.fit(epochs_before)
    history, before = copy.deepcopy(learner.history), [value.clone() for value in _everything(learner)]
    learner.find_lr(steps=40)
    after = _everything(learner)
    assert len(before) == len(after)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert learner.history == history


def test_training_after_a_sweep_is_training_without_one():
    plain, swept = _learner(), _learner()
    swept.find_lr(steps=30)
    plain.fit(2)
    swept.fit(2)
    assert [row["valid_loss"] for row in plain.history] == [row["valid_loss"] for row in swept.history]
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), swept.model.parameters(), strict=True))


def test_a_sweep_that_fails_leaves_the_learner_as_it_was():
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.count = nn.Linear(4, 2), 0

        def forward(self, points: torch.Tensor) -> torch.Tensor:
            self.count += 1
            if self.count > 5:
                raise RuntimeError("broken")
            return self.layer(points)

    learner = Learner(Fragile(), toy_data(), nn.functional.cross_entropy, progress=False)
    before = learner.model.layer.weight.clone()
    with pytest.raises(RuntimeError, match="broken"):
        learner.find_lr()
    assert torch.equal(learner.model.layer.weight, before)
    assert learner.model.count == 0


def test_callbacks_take_no_part_in_a_sweep():
    class Counting(Callback):
        steps = 0

        def after_batch(self, learner: Learner) -> None:
            self.steps += 1

    counting = Counting()
    toy_learner(callbacks=[counting]).find_lr(steps=20)
    assert counting.steps == 0


def test_the_rates_of_a_sweep_rise_geometrically():
    rates = toy_learner().find_lr(start=1e-5, end=1e-3, steps=11).rates
    assert rates == pytest.approx([1e-5 * 10 ** (0.2 * step) for step in range(11)])


def test_a_sweep_stops_when_the_loss_diverges():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(64, 4, generator=generator)
    data = Data(TensorDataset(points, points.sum(1, keepdim=True)), TensorDataset(points, points), fingerprint="sum")
    learner = Learner(nn.Linear(4, 1), data, nn.functional.mse_loss, optimizer=torch.optim.SGD, progress=False)
    found = learner.find_lr(start=1e-4, end=100, steps=100)
    assert found.diverged
    assert len(found.rates) < 100
    assert 1e-3 < found.steepest < 1.5  # the largest stable rate of plain descent here is about 1


def test_one_rate_is_suggested_with_its_reason():
    found = toy_learner().find_lr(start=1e-4, end=1.0, steps=40)
    assert found.suggestion == found.valley
    assert f"suggestion: {found.suggestion:.1e}, the middle of the longest stretch" in str(found)
    assert [line.get_label() for line in found.plot().axes[0].lines][-1].startswith("suggestion")
    flat = attrs.evolve(found, losses=list(range(len(found.rates))))
    assert "never falls below its beginning" in flat.reason


def test_layer_groups_keep_the_ratios_of_their_rates_in_a_sweep():
    seen: list[list[float]] = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):  # type: ignore[no-untyped-def, override]
            seen.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    class Grouped(nn.Sequential):
        def layer_groups(self) -> list[nn.Module]:
            return [self[0], self[1]]

    model = Grouped(nn.Linear(4, 4), nn.Linear(4, 2))
    learner = Learner(
        model, toy_data(), nn.functional.cross_entropy, optimizer=Watching, lr=slice(1e-3, 1e-2), progress=False
    )
    learner.find_lr(steps=12)
    assert [low / high for low, high in seen] == pytest.approx([0.1] * len(seen))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0, "end": 0.1}, "the rate must rise from start to end, got start=1.0, end=0.1"),
        ({"start": 0.0}, "the rate must rise from start to end, got start=0.0, end=10.0"),
        ({"steps": 3}, "a sweep needs at least 10 steps, got 3"),
        ({"smoothing": 1.0}, "smoothing must lie in \\[0, 1\\), got 1.0"),
    ],
)
def test_an_impossible_sweep_is_told_at_once(options, message):
    with pytest.raises(ParameterError, match=message):
        toy_learner().find_lr(**options)


def test_a_loss_that_diverges_at_once_says_so():
    learner = Learner(nn.Linear(4, 2), toy_data(), lambda output, target: output.sum() * float("nan"), progress=False)
    with pytest.raises(ParameterError, match="the loss diverged after 0 steps, at a learning rate of 1e-07"):
        learner.find_lr()


def test_a_constant_loss_is_smoothed_to_itself():
    assert smoothed([2.0] * 5, 0.98) == pytest.approx([2.0] * 5)


def test_the_longest_fall_need_not_be_of_neighbours():
    assert longest_fall([9.0, 8.0, 8.5, 7.0, 7.5, 6.0, 20.0]) == 2


def test_a_sweep_is_a_picture_in_a_notebook():
    found = toy_learner().find_lr(steps=20)
    assert found._repr_png_().startswith(b"\x89PNG")
    assert found.plot()._repr_png_().startswith(b"\x89PNG")
