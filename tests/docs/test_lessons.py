"""The page of lessons: its rows are of experiments that exist, and its values are those of stored runs."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path

import pytest

from lab.registry.plugins import load_catalog
from lab.study.load import load_study, override

DOCS = Path(__file__).resolve().parents[2] / "docs"


def tool():
    spec = importlib.util.spec_from_file_location("docs_lessons_tool", DOCS / "lessons.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ROWS = json.loads((DOCS / "lessons.json").read_text(encoding="utf-8"))


def test_every_row_names_an_experiment():
    assert all((DOCS.parent / "experiments" / f"{row['study']}.py").is_file() for row in ROWS)


COMMANDS = sorted({(row["study"], *row.get("set", []), row.get("options", "")) for row in ROWS})


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command).strip())
def test_the_command_of_a_row_is_a_study_that_has_the_arms_of_the_page(command):
    name, *settings, text = command
    options = shlex.split(text)
    catalog = load_catalog()
    path = DOCS.parent / "experiments" / f"{name}.py"
    study = override(load_study(path, catalog), settings, catalog, where=name)
    if "--arms" in options:
        study = study.choose(options[options.index("--arms") + 1])
    assert study.problems(catalog) == []
    rows = [row for row in ROWS if (row["study"], *row.get("set", []), row.get("options", "")) == command]
    means = study.rules.get("ensemble", {}).get("groups", {})
    assert {row["arm"] for row in rows} <= {arm.name for arm in study.all_arms} | set(means)


def test_the_page_is_that_of_the_stored_values():
    assert (DOCS / "lessons.md").read_text(encoding="utf-8") == tool().page(ROWS)


def test_a_row_is_measured_from_the_finished_runs_of_its_arm(tmp_path):
    folder = tmp_path / "fit"
    folder.mkdir()
    (folder / "runs.csv").write_text(
        "arm,seed,status,loss\nbase,0,finished,1.0\nbase,1,finished,2.0\nbase,2,failed,\nother,0,finished,9.0\n"
    )
    row = {"study": "fit", "arm": "base", "metric": "loss", "lesson": "L", "name": "loss", "printed": "1.4", "why": ""}
    tool().measure(row, [tmp_path / "nothing", tmp_path])
    assert (row["ours"][0], row["seeds"]) == (1.5, 2)
    assert "| 1.4 | 1.5 ± 0.71 (2 seeds) | `lab run experiments/fit.py` |" in tool().page([row])


def test_a_row_without_runs_is_left_out(tmp_path):
    row = {"study": "absent", "arm": "base", "metric": "loss"}
    tool().measure(row, [tmp_path])
    assert "absent" not in tool().page([row])


def test_rows_follow_the_chapters_by_number():
    names = ["course 2018, lesson 11", "Koren 2009", "book 11.6", "course 2018, lesson 4", "book 4.10", "book 4.9"]
    found = tool().ordered([{"lesson": name} for name in names])
    expected = ["book 4.9", "book 4.10", "book 11.6", "course 2018, lesson 4", "course 2018, lesson 11", "Koren 2009"]
    assert [row["lesson"] for row in found] == expected


def test_a_row_with_settings_is_measured_from_the_variant_that_was_run_with_them(tmp_path):
    folder = tmp_path / "zipf"
    folder.mkdir()
    variants = [("a", "lab run zipf.py", "1"), ("b", "lab run zipf.py --set corpus=x --runs r", "2")]
    study, other = [dict(zip(("variant", "command", "made"), each, strict=True)) for each in reversed(variants)]
    (folder / "study.json").write_text(json.dumps({**study, "variants": [other]}))
    for name, value in (("runs-a", 1.5), ("runs-b", 2.5), ("runs", 2.5)):
        (folder / f"{name}.csv").write_text(f"arm,seed,status,loss\nbase,0,finished,{value}\n")
    rows = [{"study": "zipf", "arm": "base", "metric": "loss"} for _ in range(2)]
    rows[1]["set"] = ["corpus=x"]
    for row in rows:
        tool().measure(row, [tmp_path])
    assert [row["ours"][0] for row in rows] == [1.5, 2.5]


def test_the_mean_of_folds_is_said_to_be_of_folds():
    row = {"lesson": "L", "name": "n", "printed": "1", "study": "s", "arm": "base", "why": "", "ours": [1, 0.5]}
    assert "(5 folds)" in tool().page([{**row, "seeds": 5, "unit": "fold"}])
