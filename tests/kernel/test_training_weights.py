"""Everything that a model knows is in its checkpoint, and what is in its file of weights comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.errors import LabError, ParameterError, StoreError
from lab.training import Callback, Checkpoint, Learner
from lab.training.weights import load_weights, save_weights
from tests.kernel.training_toys import CLASSES, FEATURES, toy_data, toy_model


def travelled(model: nn.Module, fresh: nn.Module, folder: Path) -> nn.Module:
    """``fresh`` with the weights of ``model``."""
    save_weights(model, folder / "weights.safetensors")
    load_weights(fresh, folder / "weights.safetensors")
    return fresh


class OddNames(nn.Module):
    """Names that end as torch's key of an extra state does."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.my_extra_state = nn.Parameter(torch.full((2,), value))
        self.register_buffer("an_extra_state", torch.full((2,), value))
        self.inner = nn.ParameterDict({"b_extra_state": nn.Parameter(torch.full((1,), value))})


def test_names_that_end_in_extra_state_are_weights(tmp_path: Path) -> None:
    loaded = travelled(OddNames(3.0), OddNames(0.0), tmp_path)
    assert [value.tolist() for value in loaded.state_dict().values()] == [[3.0, 3.0], [3.0, 3.0], [3.0]]


class Carrying(nn.Module):
    """Has an extra state, which is no weight, beside a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.words = "none"

    def get_extra_state(self) -> Any:
        return self.words

    def set_extra_state(self, state: Any) -> None:
        self.words = state


def test_an_extra_state_is_no_weight_and_may_be_text(tmp_path: Path) -> None:
    model = nn.Sequential(Carrying())
    model[0].words = "some"
    assert travelled(model, nn.Sequential(Carrying()), tmp_path)[0].words == "none"


class Views(nn.Module):
    """Buffers and weights that lie in one storage."""

    def __init__(self, value: float) -> None:
        super().__init__()
        whole = torch.arange(6.0) * value
        self.register_buffer("whole", whole)
        self.register_buffer("first", whole[:3])
        self.register_buffer("last", whole[3:])
        self.weight = nn.Parameter(whole[1:4])


def test_tensors_that_share_storage_travel(tmp_path: Path) -> None:
    loaded = travelled(Views(2.0), Views(0.0), tmp_path)
    assert loaded.whole.tolist() == [0, 2, 4, 6, 8, 10]
    assert (loaded.first.tolist(), loaded.last.tolist(), loaded.weight.tolist()) == ([0, 2, 4], [6, 8, 10], [2, 4, 6])


class Expanded(nn.Module):
    """A buffer whose rows are one row."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("rows", torch.full((1, 3), value).expand(4, 3))
        self.register_buffer("columns", torch.full((3, 1), value).expand(3, 2).t())


def test_expanded_buffers_travel(tmp_path: Path) -> None:
    loaded = travelled(Expanded(2.0), Expanded(0.0), tmp_path)
    assert (loaded.rows == 2).all()
    assert (loaded.columns == 2).all()
    loaded.rows.add_(1)


def test_weights_that_are_not_loaded_are_an_error(tmp_path: Path) -> None:
    class Renames(nn.Linear):
        """Looks for its weight under another name."""

        def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
            state.pop(f"{prefix}bias")
            super()._load_from_state_dict(state, prefix, *rest)

    save_weights(nn.Linear(2, 2), tmp_path / "w")
    with pytest.raises(StoreError, match="not loaded: bias"):
        load_weights(Renames(2, 2), tmp_path / "w")


def test_text_among_the_weights_is_told_by_name(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    model.register_state_dict_post_hook(lambda module, state, prefix, _: state.update({f"{prefix}words": "a b"}))
    with pytest.raises(LabError, match="words is a str"):
        save_weights(model, tmp_path / "w")


# --- buffers that a state dict leaves out -----------------------------------------------------------------------------


class Counting(nn.Module):
    """Changes buffers that are not persistent: one in place, one by replacing it; the third never."""

    def __init__(self) -> None:
        super().__init__()
        self.model = toy_model(dropout=0.0)
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.register_buffer("constant", torch.ones(1000), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        if self.training:
            self.scale.mul_(0.9)
            self.calls = self.calls + 1
        return self.model(points) * self.scale + self.calls / 100


def counting(folder: Path | None, *callbacks: Callback) -> Learner:
    return Learner(Counting(), toy_data(), functional.cross_entropy, callbacks=callbacks, folder=folder, progress=False)


class Dies(Callback):
    """Ends training at a step."""

    def after_batch(self, learner: Learner) -> None:
        if learner.position.step == 3:
            raise KeyboardInterrupt


def test_buffers_that_training_changes_are_in_a_checkpoint(tmp_path: Path) -> None:
    whole = counting(None)
    whole.fit(4)
    with pytest.raises(KeyboardInterrupt):
        counting(tmp_path, Checkpoint(every_steps=1), Dies()).fit(4)
    for _ in range(2):  # what was resumed once is saved again
        resumed = counting(tmp_path, Checkpoint(every_steps=1))
        resumed.resume(4)
    assert [row["valid_loss"] for row in resumed.history] == [row["valid_loss"] for row in whole.history]
    assert torch.equal(resumed.model.calls, whole.model.calls)


def test_buffers_that_stay_as_they_are_cost_a_checkpoint_nothing() -> None:
    learner = counting(None)
    assert learner.state_dict()["buffers"] == {}
    learner.fit(1)
    assert set(learner.state_dict()["buffers"]) == {"scale", "calls"}


# --- lazy modules -----------------------------------------------------------------------------------------------------


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(CLASSES))


def test_lazy_modules_are_trained_saved_and_resumed(tmp_path: Path) -> None:
    def learner() -> Learner:
        torch.manual_seed(0)
        return Learner(
            lazy(),
            toy_data(),
            functional.cross_entropy,
            callbacks=[Checkpoint(min_interval_s=0.0)],
            folder=tmp_path,
            progress=False,
        )

    first = learner()
    held = {id(weight) for group in first.optimizer.param_groups for weight in group["params"]}
    assert held == {id(weight) for weight in first.model.parameters()}
    assert first.model[0].weight.shape == (8, FEATURES)
    before = first.model[0].weight.detach().clone()
    first.fit(1)
    assert not torch.equal(before, first.model[0].weight)
    again = learner()
    again.resume(2)
    assert len(again.history) == 2


def test_a_lazy_layer_that_the_first_batch_does_not_reach_is_named() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.skipped = nn.LazyLinear(CLASSES), nn.LazyLinear(3)

        def forward(self, points: Tensor) -> Tensor:
            return self.used(points)

    with pytest.raises(ParameterError, match=r"the first batch does not reach skipped\.weight, skipped\.bias"):
        Learner(Skips(), toy_data(), functional.cross_entropy, progress=False)
