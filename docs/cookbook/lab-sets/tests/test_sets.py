"""Every component keeps its contract; a network over sets learns, and the command shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from lab_sets.command import sets
from lab_sets.conformance import SetPoolingConformance
from lab_sets.data import number_sets
from lab_sets.models import DeepSets
from lab_sets.poolings import SetMax, SetSum

from lab import use
from lab.study.execute import run_study
from lab.study.load import load_study
from lab.testing import ArchitectureConformance, DatasetConformance

STUDY = Path(__file__).parents[1] / "experiments" / "sets.py"


class TestNumberSets(DatasetConformance):
    component = use("number_sets", count=32)


class TestDeepSets(ArchitectureConformance):
    component = use("deep_sets", width=8)


class TestSum(SetPoolingConformance):
    component = use("set_sum")


class TestMean(SetPoolingConformance):
    component = use("set_mean")


class TestMax(SetPoolingConformance):
    component = use("set_max")


def test_targets_are_the_sum_or_the_maximum_of_each_set() -> None:
    for of, function in (("sum", torch.sum), ("maximum", torch.max)):
        elements, target = number_sets(count=8, of=of).train[0]
        assert target == function(elements)


@pytest.mark.parametrize("pooling", [SetSum(), SetMax()])
def test_a_set_has_no_order(pooling: torch.nn.Module) -> None:
    net = DeepSets(1, 1, pooling=pooling)
    elements, mask = torch.rand(2, 5, 1), torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(net(elements.flip(1), mask), net(elements, mask))


def test_a_study_swaps_the_pooling_and_the_command_shows_its_runs(tmp_path: Path) -> None:
    results = run_study(load_study(STUDY), runs=tmp_path / "runs")
    losses = {(run.arm, run.seed): run.metrics["valid_loss"] for run in results.runs}
    # a mean forgets how many numbers there were
    assert losses["base", 0] < 0.1 * losses["mean", 0]
    done = CliRunner().invoke(sets, [results.runs[0].key[:8], "--runs", str(tmp_path / "runs"), "--count", "2"])
    assert done.exception is None, done.exception
    assert done.output.count("predicted") == 2
