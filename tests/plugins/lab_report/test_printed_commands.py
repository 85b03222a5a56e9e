"""Commands that results print find the very results that they are printed with."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result
from lab_report.html import render_report
from lab_report.tables import comparison_table

from lab.cli.main import cli
from lab.study.record import read_study, shell_name, variant_of
from lab.study.results import Results
from lab.study.space import Range, Search
from lab.study.store import Store
from lab.study.study import Trial
from tests.kernel.stored_study import FIGURES, store_study


def run(command: str) -> Result:
    program, *arguments = shlex.split(command)
    assert program == "lab"
    return CliRunner().invoke(cli, arguments)


def with_an_earlier_variant(root: Path, name: str = "toy") -> Path:
    """A study of two variants: the one run first lacks an arm."""
    folder = store_study(root, name)
    path = folder / "study.json"
    content = json.loads(path.read_text())
    first = {**content, "arms": {arm: each for arm, each in content["arms"].items() if arm != "sgd"}}
    first["runs"] = [each for each in content["runs"] if each["arm"] != "sgd"]
    first["variant"], content["variant"] = "aaaa", "bbbb"
    first["base"] = {**content["base"], "lr": 0.5}
    path.write_text(json.dumps({**content, "variants": [first]}))
    return folder


@pytest.mark.parametrize("variant", ["aaaa", "bbbb"])
def test_commands_of_a_page_name_variant_and_folder_and_show_the_same_table(tmp_path: Path, variant: str) -> None:
    root = tmp_path / "my runs"
    with_an_earlier_variant(root)
    record = read_study(Store(root), "toy", variant)
    results = record.results(Store(root))
    page = render_report(record, results).replace("&#39;", "'")
    (compare,) = re.findall(r"lab compare [^<\n]*--format latex", page)
    shown = run(compare.replace("latex", "csv")).stdout.splitlines()
    assert [line.split(",")[0] for line in shown[1:]] == [arm.name for arm in results.arms]
    (report,) = re.findall(r"lab report [^<\n]*", page)
    assert run(report).exit_code == 0


def test_a_study_of_one_variant_in_the_usual_folder_needs_its_name_alone() -> None:
    assert shell_name("toy", Path("runs")) == "toy"
    assert shell_name("a b", Path("x y"), "3f") == "'a b' --variant 3f --runs 'x y'"


def test_the_variant_of_runs_is_found_by_their_keys(tmp_path: Path) -> None:
    with_an_earlier_variant(tmp_path)
    for variant in ("aaaa", "bbbb"):
        runs = read_study(Store(tmp_path), "toy", variant).results(Store(tmp_path)).runs
        assert variant_of(tmp_path, "toy", [each.key for each in runs]) == variant
    assert variant_of(tmp_path, "toy", ["other"]) == ""
    assert variant_of(tmp_path, "nothing", ["other"]) == ""
    store_study(tmp_path, "single")
    assert variant_of(tmp_path, "single", []) == ""


def test_the_table_of_a_search_has_its_best_trials_and_says_how_they_were_chosen(tmp_path: Path) -> None:
    figures = {"base": [0.5], **{f"trial {i}": [0.5 + i / 100] for i in range(14)}}
    store_study(tmp_path, figures=figures)
    record = read_study(Store(tmp_path), "toy")
    found = record.results(Store(tmp_path))
    arms = [
        attrs.evolve(arm, trial=Trial(i, 0, {"lr": i})) if arm.name != "base" else arm
        for i, arm in enumerate(found.arms)
    ]
    study = attrs.evolve(record.study, searching=Search({"lr": Range(0.0, 1.0)}, 14))
    table = comparison_table(Results(study, arms, found.runs))
    assert [row.name for row in table.rows] == ["base", *(f"trial {i}" for i in range(13, 3, -1))]
    assert "The best 10 of 14 trials are shown; a best trial was chosen by the metric" in table.note


def test_all_arms_of_other_studies_stay_in_their_order(tmp_path: Path) -> None:
    store_study(tmp_path)
    results = read_study(Store(tmp_path), "toy").results(Store(tmp_path))
    assert [row.name for row in comparison_table(results).rows] == list(FIGURES)
