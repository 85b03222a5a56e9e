"""A store that an earlier version left (commit 59c3f2e): before seals, sources and yardsticks, and with other rooms."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import lab as framework
from lab.errors import LabError

KEY = "003d8caf51a1b5956853"


@pytest.fixture
def former(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    shutil.copytree(Path(__file__).with_name("former_store"), runs)
    return runs


def test_a_former_store_is_listed(lab, former: Path) -> None:
    result = lab("runs", "--runs", former)
    assert result.code == 0
    assert result.out.count("finished") == 4
    assert KEY in result.out


def test_a_former_store_is_compared_with_the_metrics_that_it_holds(lab, former: Path) -> None:
    result = lab("compare", "width", "--format", "csv", "--runs", former)
    assert result.code == 0
    kept = [json.loads(path.read_text())["metrics"]["valid_loss"] for path in former.glob(".store/*/result.json")]
    assert len(kept) == 4
    means = [float(row["valid_loss_mean"]) for row in csv.DictReader(result.out.splitlines())]
    assert sum(means) / 2 == pytest.approx(sum(kept) / 4, rel=1e-4)


def test_a_former_store_is_reported(lab, former: Path) -> None:
    result = lab("report", "width", "--runs", former)
    assert result.code == 0
    assert "Does a wider layer help?" in (former / "width" / "report.html").read_text()


@pytest.mark.filterwarnings("ignore:run 003d8caf51a1b5956853 differs")
def test_a_former_run_is_loaded_and_gives_its_recorded_loss(former: Path) -> None:
    with pytest.raises(LabError, match="made with different code, data or packages"):
        framework.load(KEY, former)
    learner = framework.load(KEY, former, anyway=True)
    recorded = json.loads((former / ".store" / KEY / "result.json").read_text())["metrics"]
    assert learner.validate()["valid_loss"] == pytest.approx(recorded["valid_loss"], rel=1e-6)
