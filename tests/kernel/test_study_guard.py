"""Components that change what belongs to the whole process are found out before anything is trained."""

from __future__ import annotations

import importlib
import os
import random
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lab
from lab import Callback, Learner, Study
from lab.errors import LabError, PluginError, StudyError
from lab.registry.plugins import Catalog, load_catalog
from lab.study.execute import run_study
from lab.study.guard import assert_global_state_unchanged, guarded, isolated
from lab.study.load import load_study, override
from lab.study.preflight import plan_study
from lab.study.store import Store
from lab.study.unkept import changing_attributes, unkept_notes
from lab.study.workspace import Workspace
from lab.training import Stepper, Supervised
from tests.kernel.toys import experiment, plugin_module
from tests.kernel.training_toys import toy_data


class Seeding(nn.Module):
    """Seeds torch when it is built: the same weights for every seed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2718281)  # a seed that no other test leaves
        self.layer = nn.Linear(4, 2)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.layer(points)


class Doubling(nn.Module):
    """Makes float64 the default."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_default_dtype(torch.float64)


class Rolling(Supervised):
    """Seeds torch's global generator in every step."""

    def train_step(self, batch: Any) -> torch.Tensor:
        torch.manual_seed(2718281)  # a seed that no other test leaves
        return super().train_step(batch)


class Patching(nn.Linear):
    """Exchanges one of torch's functions when it is built."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        nn.functional.relu = nn.functional.gelu


class Wandering(nn.Linear):
    """Changes the working folder."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        os.chdir("/")


class Overriding(nn.Linear):
    """Gives a class of torch another method."""

    def __init__(self) -> None:
        super().__init__(4, 2)
        nn.ReLU.forward = nn.GELU.forward


def _plan(tmp_path: Path, architecture: Any, stepper: type[Stepper] = Supervised) -> None:
    base = lab.Experiment(dataset=toy_data, architecture=architecture, loss="cross_entropy", stepper=stepper)
    plan_study(lab.Study(base, seeds=1, name="guarded"), Workspace(load_catalog(), Store(tmp_path)))


@pytest.mark.parametrize(
    ("architecture", "stepper", "what"),
    [
        (Seeding, Supervised, "the seed of torch's random generator"),
        (Doubling, Supervised, "torch's default dtype"),
        (lab.use(nn.Linear, in_features=4, out_features=2), Rolling, "the seed of torch's random generator"),
        (Patching, Supervised, "torch.nn.functional.relu"),
        (Overriding, Supervised, "torch.nn.ReLU.forward"),
        (Wandering, Supervised, "the working folder"),
    ],
)
def test_preflight_names_who_changes_what(tmp_path: Path, architecture: Any, stepper: type[Stepper], what: str) -> None:
    with pytest.raises(StudyError) as caught:
        _plan(tmp_path, architecture, stepper)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith(f"(local) changes {what}, which belongs to the whole process")
    remedy = "draw from the generator that the contract"
    if what.startswith("torch."):
        remedy = "write a component of its own"
    elif "folder" in what:
        remedy = "give absolute paths instead"
    assert lines[1].startswith(f"  {remedy}")
    assert torch.get_default_dtype() == torch.float32


class SeedingForward(nn.Linear):
    """Seeds torch whenever it is called."""

    def __init__(self) -> None:
        super().__init__(4, 2)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2718281)  # a seed that no other test leaves
        return super().forward(points)


def seeding_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(2718281)  # a seed that no other test leaves
    return nn.functional.cross_entropy(output, target)


@pytest.mark.parametrize(
    ("architecture", "loss", "who"),
    [
        (SeedingForward, "cross_entropy", "architecture"),
        (lab.use(nn.Linear, in_features=4, out_features=2), seeding_loss, "loss"),
    ],
)
def test_who_changes_something_in_a_step_is_named_and_not_the_stepper(
    tmp_path: Path, architecture: Any, loss: Any, who: str
) -> None:
    base = lab.Experiment(dataset=toy_data, architecture=architecture, loss=loss)
    with pytest.raises(StudyError) as caught:
        plan_study(lab.Study(base, seeds=1, name="guarded"), Workspace(load_catalog(), Store(tmp_path)))
    assert str(caught.value).startswith(f"{who} 'tests.kernel.test_study_guard:")
    assert "changes the seed of torch's random generator" in str(caught.value)


def test_what_was_changed_is_put_back() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)

    def change() -> None:
        with assert_global_state_unchanged("somebody", allow_torch_rng=False):
            random.random()
            torch.rand(1)

    torch.manual_seed(3)
    after = torch.rand(1)
    torch.manual_seed(3)
    with pytest.raises(PluginError, match="somebody changes torch's random generator and Python's random generator"):
        change()
    assert random.random() == expected
    assert torch.equal(torch.rand(1), after)


def _study(tmp_path: Path, top: str) -> Path:
    path = tmp_path / "patching_study.py"
    path.write_text(f"import torch\nfrom torch import nn\n{top}\n" + STUDY_WITH_HOOKS)
    return path


@pytest.mark.parametrize(
    ("top", "what"),
    [
        ("nn.functional.relu = nn.functional.gelu", "torch.nn.functional.relu"),
        ("nn.Linear.forward = lambda self, x: x", "torch.nn.Linear.forward"),
        ("del nn.ReLU.forward", "torch.nn.ReLU.forward"),
        ("nn.ReLU.__call__ = lambda self, x: x", "torch.nn.ReLU.__call__"),
        ("nn.Linear = nn.Identity", "torch.nn.Linear"),
        ("torch.set_default_dtype(torch.float64)", "torch's default dtype"),
        ("torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark", "torch's cuDNN settings"),
        ("import os; os.chdir('/')", "the working folder"),
    ],
)
def test_a_study_file_that_changes_torch_for_everybody_is_refused_and_undone(
    tmp_path: Path, top: str, what: str
) -> None:
    before = (nn.functional.relu, nn.Linear.forward, nn.Linear, os.getcwd())
    with pytest.raises(LabError) as caught:
        load_study(_study(tmp_path, top), load_catalog())
    assert caught.value.what == f"patching_study.py changes {what}, which belongs to the whole process"
    assert (nn.functional.relu, nn.Linear.forward, nn.Linear, os.getcwd()) == before
    assert "__call__" not in vars(nn.ReLU)
    assert nn.ReLU()(torch.ones(1)) == 1


def test_a_study_file_may_seed_at_its_top_and_leaves_generators_as_they_were(tmp_path: Path) -> None:
    state = random.getstate(), torch.get_rng_state().tolist()
    load_study(_study(tmp_path, "import random; random.seed(0); torch.randn(3)"), load_catalog())
    assert (random.getstate(), torch.get_rng_state().tolist()) == state


class PatchingLate(lab.Callback):
    """Exchanges a function of torch while it trains."""

    def before_epoch(self, learner: Any) -> None:
        nn.functional.cross_entropy = lambda output, target: output.sum() * 0


def test_what_a_run_exchanges_is_put_back_for_the_run_after_it(tmp_path: Path, caplog: Any) -> None:
    original = nn.functional.cross_entropy
    net = lab.use(nn.Linear, in_features=4, out_features=2)
    base = lab.Experiment(dataset=toy_data, architecture=net, loss="cross_entropy", callbacks=[PatchingLate])
    run_study(lab.Study(base, seeds=1, name="late"), runs=tmp_path, catalog=load_catalog())
    assert nn.functional.cross_entropy is original
    assert "changed torch.nn.functional.cross_entropy; it was put back for the runs after it" in caplog.text


def test_a_function_that_torch_itself_wraps_in_a_run_is_no_change(caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch, "manual_seed", torch.manual_seed)
    with isolated("run 1"):
        torch.manual_seed = torch._disable_dynamo(torch.manual_seed)  # as the import of torch._dynamo does
    assert not caplog.text


def test_a_step_that_torch_adds_to_a_class_of_optimizers_is_no_change(caplog: Any, monkeypatch: Any) -> None:
    adam = torch.optim.Adam
    if "step" in vars(torch.optim.AdamW):
        monkeypatch.delattr(torch.optim.AdamW, "step")
    with isolated("run 1"):
        # as the first AdamW of a process does, whose step is Adam's
        monkeypatch.setattr(torch.optim.AdamW, "step", adam.profile_hook_step(adam.step), raising=False)
    assert not caplog.text


def test_a_function_that_a_run_wraps_in_another_way_is_put_back(caplog: Any) -> None:
    original = nn.functional.relu
    with isolated("run 1"):
        nn.functional.relu = torch.no_grad()(original)
    assert nn.functional.relu is original
    assert "changed torch.nn.functional.relu" in caplog.text


def _module(**content: Any) -> types.ModuleType:
    module = types.ModuleType("future")
    vars(module).update(content)
    return module


@pytest.mark.parametrize("supported", [">=1,<2", "==1.*", None])
def test_a_plugin_that_supports_this_api_is_loaded(supported: str | None) -> None:
    assert Catalog().add_module(_module(plugin_api=supported), "fitting").status == "loaded"


@pytest.mark.parametrize(
    ("supported", "message"),
    [
        (">=2", "it is made for plugin API >=2, and this lab has plugin API 1.0"),
        ("soon", "plugin_api = 'soon' is not a range of versions; write '>=1,<2'"),
        (1, "plugin_api = 1 is not a range of versions; write '>=1,<2'"),
    ],
)
def test_a_plugin_for_another_api_is_refused(supported: Any, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        Catalog().add_module(_module(plugin_api=supported), "future")
    assert str(caught.value) == message


STUDY_WITH_HOOKS = '''
"""A study that brings components of its own."""
from torch import nn
from lab import Experiment, Study, hookimpl, preset
from tests.kernel.training_toys import toy_data


class Net(nn.Module):
    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x)


@hookimpl
def lab_architectures():
    return {"own_net": Net, "own_wide": preset("own_net", width=9)}


base = Experiment(dataset=toy_data, architecture="own_net", loss="cross_entropy")
study = Study(base, seeds=1).swap("architecture", ["own_wide"])
'''


def test_reading_a_set_value_watches_the_import_of_its_component(tmp_path: Path, monkeypatch: Any) -> None:
    source = "import torch\ntorch.set_default_dtype(torch.float64)\nNet = torch.nn.Linear\n"
    (tmp_path / "late_net.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load_catalog()
    catalog.add_module(plugin_module(lab_architectures={"late": "late_net:Net"}), "late", "1.0")
    base = lab.Experiment(dataset=toy_data, architecture="late", loss="cross_entropy")
    with pytest.raises(StudyError, match=r"--set architecture.bias=false: architecture 'late' \(late 1.0\) changes"):
        override(lab.Study(base, seeds=1), ["architecture.bias=false"], catalog)
    assert torch.get_default_dtype() == torch.float32


def test_a_study_file_may_hold_hooks_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "hooked.py"
    path.write_text(STUDY_WITH_HOOKS)
    catalog = load_catalog()
    for _ in range(2):  # a file may be loaded again, by a worker or in a notebook
        study = load_study(path, catalog)
    base, wide = study.resolve(catalog)
    assert wide.difference == {"architecture.width": (4, 9)}
    component = base.experiment.component("architecture")
    assert component.plugin == "local"
    assert component.name.startswith("hooked.py:Net#")


def test_a_hook_of_a_study_file_that_breaks_its_contract_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(STUDY_WITH_HOOKS.replace("lab_architectures", "lab_architecture"))
    with pytest.raises(LabError, match="there is no hook 'lab_architecture'"):
        load_study(path, load_catalog())


def test_what_torch_wraps_by_itself_is_nobodys_change(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._compile import _disable_dynamo

    monkeypatch.setattr(torch, "manual_seed", torch.manual_seed)
    with assert_global_state_unchanged("somebody", allow_torch_rng=True, functions=True):
        torch.manual_seed = _disable_dynamo(torch.manual_seed)


# --- state that a checkpoint does not hold ----------------------------------------------------------------------------


class Counting(Callback):
    def __init__(self) -> None:
        self.count = 0

    def after_batch(self, learner: Learner) -> None:
        self._one_more()

    def _one_more(self) -> None:
        self.count += 1


class Remembering(Callback):
    def before_fit(self, learner: Learner) -> None:
        self.last, self.seen = 0.0, []

    def after_epoch(self, learner: Learner) -> None:
        if learner.history[-1]["train_loss"] < self.last:
            self.seen.append(self.last)
        self.last = learner.history[-1]["train_loss"]


class SummingInAnEpoch(Callback):
    def before_epoch(self, learner: Learner) -> None:
        self.total = 0.0

    def after_batch(self, learner: Learner) -> None:
        self.total += 1.0


class Keeping(Counting):
    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


class WithinABatch(Callback):
    def before_batch(self, learner: Learner) -> None:
        self.rate = learner.optimizer.param_groups[0]["lr"]

    def after_batch(self, learner: Learner) -> None:
        self.rate *= 2


class SetBefore(Callback):
    def before_fit(self, learner: Learner) -> None:
        self.rate = 1.0

    def after_batch(self, learner: Learner) -> None:
        learner.seen = self.rate


class Alternating(Supervised):
    turn = 0

    def train_step(self, batch: Any) -> torch.Tensor:
        self.turn += 1
        return super().train_step(batch)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Counting, ("count",)),
        (Remembering, ("last", "seen")),
        (SummingInAnEpoch, ("total",)),
        (WithinABatch, ()),
        (SetBefore, ()),
    ],
)
def test_attributes_that_a_callback_carries_from_step_to_step_are_found(kind: type, names: tuple[str, ...]) -> None:
    assert changing_attributes(kind, Callback) == names


def test_the_plan_tells_of_state_that_a_checkpoint_does_not_hold(tmp_path: Path, catalog: Any) -> None:
    study = Study(experiment(callbacks=[Counting, Keeping]), seeds=1, name="counting")
    (check,) = plan_study(study, Workspace(catalog, Store(tmp_path))).checks.values()
    assert [note for note in check.notes if "checkpoint does not hold" in note] == [
        "callback 'counting' keeps state that a checkpoint does not hold: count; a resumed run goes on without it "
        "(give it state_dict and load_state_dict)"
    ]


def test_a_stepper_of_ones_own_that_keeps_nothing_is_told() -> None:
    (note,) = unkept_notes([], Alternating())
    assert note.startswith("stepper 'Alternating' keeps state that a checkpoint does not hold: turn")


def test_a_component_whose_libraries_draw_at_import_is_taken_and_generators_stay(tmp_path, monkeypatch):
    (tmp_path / "drawing_library.py").write_text("import random\nimport numpy\nrandom.random()\nnumpy.random.rand()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = random.getstate()
    with guarded("architecture 'forest'"):
        importlib.import_module("drawing_library")
    assert random.getstate() == before
