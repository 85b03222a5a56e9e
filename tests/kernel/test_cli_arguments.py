"""Odd arguments and environments: told in words, with exit code 2, and never a traceback or a hang."""

from __future__ import annotations

import csv

import pytest

from tests.kernel.test_cli_run import STUDY


@pytest.fixture
def study(tmp_path):
    def study(more: str = ""):
        path = tmp_path / "line.py"
        path.write_text(STUDY + more, encoding="utf-8")
        return path

    return study


COMMAS = '\nstudy = study.swap("lr", {"a, b": 0.1, "c": 0.2})\n'


def arms_of(tmp_path):
    with (tmp_path / "runs" / "line" / "runs.csv").open(newline="", encoding="utf-8") as file:
        return list(dict.fromkeys(row["arm"] for row in csv.DictReader(file)))


@pytest.mark.parametrize("arms", ["a, b", '"a, b"', "3"])
def test_an_arm_with_a_comma_can_be_chosen(lab, study, tmp_path, arms):
    assert lab("run", study(COMMAS), "--arms", arms, "--seeds", 1, "--quiet").code == 0
    assert arms_of(tmp_path) == ["base", "a, b"]


def test_the_plan_shows_the_numbers_of_arms_where_a_name_holds_a_comma(lab, study):
    numbered = lab("run", study(COMMAS), "--plan").out
    assert "number" in numbered
    assert "│      3 │ a, b " in numbered
    assert "│      3 │ a, b " in lab("run", study(COMMAS), "--plan", "--arms", "3").out
    assert "number" not in lab("run", study(), "--plan").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "architecture=Line(3)"], "cannot read 'Line(3)': '3' is not PARAMETER=VALUE"),
        (["--set", "architecture=Line(width=(3)"], "cannot read 'Line(width=(3)': ')' is missing"),
        (["--set", "valid_sampler.size=3"], "there is no valid_sampler here, so it has no 'size'"),
        (["--set", "lr=1e400"], "lr must be a finite number, not inf"),
        (["--set", "lr=nan"], "'lr' must be"),
        (["--set", "batch_size=100000000000000000000"], "batch_size must be below 2^63"),
        (["--set", "epochs=0"], "epochs must be at least 1, not 0"),
        (["--set", "=3"], "unknown path ''"),
        (["--set", "lr"], "cannot read --set lr"),
        (["--set", "dataset=" + "(" * 3000], "cannot read '"),
        (["--set", "lr=" + "(" * 3000], "'lr' must be"),
        (["--set", "lr=" + "9" * 5000], "'lr' must be"),
        (["--epochs", "0"], "Invalid value for '--epochs'"),
        (["--seeds", "100000000"], "too many seeds: at most 10,000"),
        (["--arms", ","], "no arm is named"),
        (["--set", "lr=\udcff"], "an argument is not text in UTF-8: 'lr=\\udcff'"),
        (["--runs", "x" * 5000], "system error: File name too long"),
    ],
)
def test_an_argument_that_cannot_be_used_is_told(lab, study, arguments, message):
    result = lab("run", study(), "--plan", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_path_in_a_component_is_read_as_it_stands(lab, study, tmp_path):
    more = """
def read(*, path: Path = Path("."), scale: float = 1.0) -> Points:
    assert str(path) == "d-1/a b.csv", path
    return points()

study = Study(attrs.evolve(base, dataset=read))
"""
    assert lab("run", study(more), "--plan", "--set", "dataset.path=d-1/a b.csv").code == 0
    plugin = """
from lab import hookimpl

@hookimpl
def lab_datasets():
    return {"reads": read}
"""
    assert lab("run", study(more + plugin), "--plan", "--set", "dataset=reads(path=d-1/a b.csv, scale=2)").code == 0


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT"),
        ({"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "5", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "RANK"),
        ({"WORLD_SIZE": "-1", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, "WORLD_SIZE"),
    ],
)
def test_half_of_what_torchrun_sets_is_told(lab, study, monkeypatch, environment, missing):
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = lab("run", study())
    assert result.code == 2
    assert f"but these variables of torchrun are missing or wrong: {missing}\n" in result.err


@pytest.mark.parametrize("command", [["report", "x"], ["runs"], ["compare", "x"], ["runs", "show", "1"]])
def test_a_file_where_the_folder_of_runs_should_be_is_told(lab, tmp_path, command):
    (tmp_path / "taken").write_text("a file")
    result = lab(*command, "--runs", tmp_path / "taken")
    assert "Traceback" not in result.err
    assert result.code in (0, 2)


def test_a_name_that_is_too_long_is_told(lab):
    result = lab("run", "x" * 5000 + ".py")
    assert result.code == 2
    assert result.err.startswith("lab: system error: File name too long\n  xxx")
    assert len(result.err) < 400


def test_the_report_is_written_before_anything_is_printed(lab, study, tmp_path, monkeypatch):
    there = []

    def prints(*arguments, **options):
        there.extend(path.name for path in (tmp_path / "runs" / "line").glob("r*"))

    monkeypatch.setattr("lab.report.terminal.print_results", prints)
    lab("run", study(), "--quiet", "--seeds", 1)
    assert sorted(there) == ["report.html", "runs.csv"]


# --- find-lr ----------------------------------------------------------------------------------------------------------


WRONG = """
class TooWide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, inputs):
        return self.layer(inputs)


class FailsLater(Line):
    def forward(self, inputs):
        output = super().forward(inputs)
        if self.steps > 5:
            raise KeyError("later")
        return output


study = study.swap("architecture", {"too_wide": TooWide, "later": FailsLater})
"""


def test_find_lr_checks_an_arm_as_run_does(lab, study, tmp_path):
    result = lab("find-lr", study(WRONG), "--arm", "too_wide")
    assert result.code == 2
    assert result.err.startswith("lab: arm 'too_wide': RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert f"{tmp_path / 'line.py'}, line " in result.err
    assert list(tmp_path.glob("runs*")) == []


def test_find_lr_tells_of_a_component_that_fails_in_a_later_batch(lab, study):
    result = lab("find-lr", study(WRONG), "--arm", "later")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("lab: a component failed in the sweep\n  KeyError: 'later'\n")
    assert 'raise KeyError("later")' in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", str(10**27)], "is not in the range"),
        (["--start", "nan"], "nan is not a finite number"),
        (["--end", "inf"], "inf is not a finite number"),
        (["--start", "0"], "is not in the range"),
        (["--seed", str(2**70)], "is not in the range"),
        (["--arm", "narrow,wide"], "several arms match; a sweep needs one"),
    ],
)
def test_numbers_of_a_sweep_are_bounded(lab, study, arguments, message):
    result = lab("find-lr", study(), *arguments)
    assert result.code == 2
    assert message in result.err


def test_find_lr_sweeps_an_arm_by_its_number(lab, study):
    result = lab("find-lr", study(), "--arm", "2", "--steps", 12)
    assert result.code == 0
    assert "line, arm wide\n" in result.out
