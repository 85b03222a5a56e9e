"""Components that change what belongs to the whole process are found out before anything is trained."""

from __future__ import annotations

import random
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lab
from lab.errors import LabError, PluginError, StudyError
from lab.registry.plugins import Catalog, load_catalog
from lab.study.guard import keeps_global_state
from lab.study.load import load_study
from lab.study.preflight import plan_study
from lab.study.store import Store
from lab.training import Stepper, Supervised
from tests.kernel.training_toys import toy_data


class Seeding(nn.Module):
    """Seeds torch when it is built: the same weights for every seed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.layer(points)


class Doubling(nn.Module):
    """Makes float64 the default."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_default_dtype(torch.float64)


class Rolling(Supervised):
    """Draws from numpy's global generator in every step."""

    def train_step(self, batch: Any) -> torch.Tensor:
        np.random.rand()
        return super().train_step(batch)


def _plan(tmp_path: Path, architecture: Any, stepper: type[Stepper] = Supervised) -> None:
    base = lab.Experiment(dataset=toy_data, architecture=architecture, loss="cross_entropy", stepper=stepper)
    plan_study(lab.Study(base, seeds=1, name="guarded"), load_catalog(), Store(tmp_path))


@pytest.mark.parametrize(
    ("architecture", "stepper", "what"),
    [
        (Seeding, Supervised, "the seed of torch's random generator"),
        (Doubling, Supervised, "torch's default dtype"),
        (lab.use(nn.Linear, in_features=4, out_features=2), Rolling, "numpy's random generator"),
    ],
)
def test_preflight_names_who_changes_what(tmp_path: Path, architecture: Any, stepper: type[Stepper], what: str) -> None:
    with pytest.raises(StudyError) as caught:
        _plan(tmp_path, architecture, stepper)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith(f"(local) changes {what}, which belongs to the whole process")
    assert lines[1] == "  draw from the generator that the contract offers; give dtype=... where tensors are made"
    assert torch.get_default_dtype() == torch.float32


def test_what_was_changed_is_put_back() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)

    def change() -> None:
        with keeps_global_state("somebody", draws=False):
            random.random()
            torch.rand(1)

    torch.manual_seed(3)
    after = torch.rand(1)
    torch.manual_seed(3)
    with pytest.raises(PluginError, match="somebody changes Python's random generator and torch's random generator"):
        change()
    assert random.random() == expected
    assert torch.equal(torch.rand(1), after)


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
        ("soon", "plugin_api = 'soon' is no range of versions; write '>=1,<2'"),
        (1, "plugin_api = 1 is no range of versions; write '>=1,<2'"),
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
