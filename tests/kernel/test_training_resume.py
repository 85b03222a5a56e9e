"""Checkpoints: a run that was cut short ends with the same numbers as one that never was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lab.errors import LabError, StoreError
from lab.files import atomic_folder
from lab.training import Callback, Checkpoint, Learner, Stepper, Supervised
from lab.training.checkpoint import load_checkpoint
from lab.training.weights import read_tree, write_tree
from tests.kernel.training_toys import toy_learner

EPOCHS = 3
STEPS = 9 * EPOCHS


class Cut(Callback):
    """Raises after a step, as a crash would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_batch(self, learner: Learner) -> None:
        if learner.position.step == self.step:
            raise RuntimeError("cut")


class Steps(Callback):
    """Notes every step."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def after_batch(self, learner: Learner) -> None:
        self.steps.append(learner.position.step)


class Noisy(Supervised):
    """A stepper that draws from its stream."""

    def train_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        points, labels = batch
        noise = torch.randn(points.shape, generator=self.learner.streams.generator("stepper"))
        return super().train_step((points + 0.1 * noise, labels))


class Counter(Callback):
    """A callback with state of its own."""

    def before_fit(self, learner: Learner) -> None:
        self.count = 0

    def after_batch(self, learner: Learner) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def _learner(folder: Path, *, every_steps: int | None = None, extra: tuple[Callback, ...] = ()) -> Learner:
    callbacks = [Checkpoint(every_steps=every_steps, min_interval_s=0), Counter(), *extra]
    return toy_learner(folder=folder, stepper=Noisy(), callbacks=callbacks, seed=3)


def _figures(learner: Learner) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["valid_loss"]) for row in learner.history]


def _same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


class KilledInValidation(Callback):
    """Ends the process in the validation of the first epoch, as far as a test can."""

    def before_validate(self, learner: Learner) -> None:
        raise KeyboardInterrupt


def test_a_run_killed_in_validation_trains_no_batch_again(tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole, cut = _learner(tmp_path / "whole"), _learner(tmp_path / "cut", extra=(KilledInValidation(),))
    whole.resume(EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        cut.resume(EPOCHS)
    steps: list[int] = []
    resumed = _learner(tmp_path / "cut", extra=(Steps(steps),))
    resumed.resume(EPOCHS)
    assert steps == list(range(10, STEPS + 1))
    assert _figures(resumed) == _figures(whole)
    assert _same_weights(resumed.model, whole.model)


@pytest.mark.parametrize(("seconds", "saves"), [(5.0, 0), (20.0, 1)])
def test_only_a_validation_that_is_long_for_a_second_saving_is_saved_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, saves: int
) -> None:
    rule, saved = Checkpoint(min_interval_s=0), []
    learner = toy_learner(folder=tmp_path, callbacks=[rule])
    monkeypatch.setattr(rule, "save", saved.append)
    rule._validating_s, rule._saving_s = seconds, 1.0
    rule.save_before_validation(learner)
    assert len(saved) == saves


@pytest.mark.parametrize(("saving_s", "least_s", "saves"), [(1e-9, 1e-9, 3), (1e3, 1e-9, 0), (1e3, 0.0, 3)])
def test_epochs_are_saved_if_they_took_long_for_a_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saving_s: float, least_s: float, saves: int
) -> None:
    rule, saved = Checkpoint(min_interval_s=least_s), []
    learner = toy_learner(folder=tmp_path, callbacks=[rule])
    monkeypatch.setattr(rule, "save", saved.append)
    monkeypatch.setattr(rule, "_saving_s", saving_s)
    learner.data.valid = None
    learner.fit(3)
    assert len(saved) == saves


@pytest.mark.parametrize("every_steps", [None, 1, 4])
@pytest.mark.parametrize("cut_at", [1, 8, 9, 10, 14, 18, 26])
def test_a_run_cut_short_at_any_step_ends_as_one_that_never_was(
    tmp_path: Path, cut_at: int, every_steps: int | None
) -> None:
    whole = _learner(tmp_path / "whole")
    whole.folder.mkdir()
    whole.resume(EPOCHS)
    folder = tmp_path / "cut"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="cut"):
        _learner(folder, every_steps=every_steps, extra=(Cut(cut_at),)).resume(EPOCHS)
    resumed = _learner(folder, every_steps=every_steps)
    resumed.resume(EPOCHS)
    assert _figures(resumed) == _figures(whole)
    assert _same_weights(resumed.model, whole.model)
    assert next(c for c in resumed.callbacks if c.name == "counter").count == STEPS


def test_resuming_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    _learner(tmp_path).resume(EPOCHS)
    again = _learner(tmp_path, extra=(Cut(1), Cut2()))
    again.resume(EPOCHS)
    assert len(again.history) == EPOCHS


class Cut2(Callback):
    """Raises at any step."""

    def before_batch(self, learner: Learner) -> None:
        raise AssertionError("trained again")


def test_one_checkpoint_is_kept(tmp_path: Path) -> None:
    _learner(tmp_path, every_steps=1).resume(1)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1


def test_a_truncated_checkpoint_is_left_out_with_a_warning(tmp_path: Path) -> None:
    learner = _learner(tmp_path)
    learner.resume(1)
    path = next(tmp_path.glob("checkpoint-*")) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:20])
    said: list[str] = []
    assert not load_checkpoint(_learner(tmp_path), tmp_path, said.append)
    assert said[0].startswith("a checkpoint is damaged and skipped: cannot read the weights")


def test_a_temporary_folder_of_a_crash_is_no_checkpoint(tmp_path: Path) -> None:
    def crash() -> None:
        with atomic_folder(tmp_path / "checkpoint-000001") as temporary:
            (temporary / "state.json").write_text("half")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        crash()
    assert list(tmp_path.iterdir()) == []


def test_a_tree_of_tensors_and_values_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {
        "a": [1, 2.5, None, "x", True],
        "b": {0: torch.arange(3), "deep": {"w": torch.ones(2, 2)}},
        "c": (1, (2, 3)),
    }
    write_tree(tree, tmp_path, "state")
    back = read_tree(tmp_path, "state")
    assert back["a"] == tree["a"]
    assert back["c"] == tree["c"]
    assert torch.equal(back["b"][0], torch.arange(3))
    assert torch.equal(back["b"]["deep"]["w"], torch.ones(2, 2))


def test_state_that_is_no_tree_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(LabError) as caught:
        write_tree({"callbacks": {"mine": object()}}, tmp_path, "state")
    assert str(caught.value) == (
        "a object cannot be saved in a checkpoint\n"
        "  /callbacks/mine\n"
        "  a state_dict holds tensors, numbers, strings, lists and dictionaries"
    )


def test_no_file_of_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    _learner(tmp_path).resume(1)
    files = sorted(path.name for path in next(tmp_path.glob("checkpoint-*")).iterdir())
    assert files == ["model.safetensors", "state.json", "state.safetensors"]


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    learner, other = toy_learner(), toy_learner()
    learner.fit(1)
    learner.save(tmp_path / "model.safetensors")
    other.load(tmp_path / "model.safetensors")
    assert _same_weights(learner.model, other.model)


def test_tied_weights_are_written_once_and_come_back_tied(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.output = nn.Linear(3, 5)
            self.output.weight = self.embedding.weight

    learner, other = toy_learner(), toy_learner()
    learner.model, other.model = Tied(), Tied()
    learner.save(tmp_path / "tied.safetensors")
    other.load(tmp_path / "tied.safetensors")
    assert torch.equal(other.model.embedding.weight, learner.model.embedding.weight)
    assert other.model.output.weight is other.model.embedding.weight


def test_weights_of_another_architecture_are_refused_by_name(tmp_path: Path) -> None:
    learner, other = toy_learner(), toy_learner()
    other.model = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2), nn.Linear(2, 2))
    learner.save(tmp_path / "model.safetensors")
    with pytest.raises(StoreError) as caught:
        other.load(tmp_path / "model.safetensors")
    assert str(caught.value) == (
        "these weights belong to another architecture\n"
        f"  {tmp_path / 'model.safetensors'}\n"
        "  missing: 4.bias, 4.weight\n"
        "  0.weight: [8, 4] in the file, [9, 4] in the model\n"
        "  0.bias: [8] in the file, [9] in the model"
    )


def test_an_artefact_stays_inside_its_folder(tmp_path: Path) -> None:
    learner = toy_learner(folder=tmp_path)
    assert learner.artefact("maps/0.png") == tmp_path / "artefacts" / "maps" / "0.png"
    with pytest.raises(LabError, match=r"the artefact name '\.\./\.\./x' leaves the run's folder"):
        learner.artefact("../../x")


def test_the_base_stepper_asks_to_be_overridden() -> None:
    with pytest.raises(NotImplementedError):
        Stepper().train_step(None)
