from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lab_runs.listing import list_runs

from lab.cli.main import cli
from lab.study.store import Store
from tests.kernel.stored_study import key_of, store_run, store_study

MANY = 2000
SECONDS_FOR_EACH = 1 / 10_000
"""Ten thousand runs are listed in less than a second."""
Lab = Callable[..., Result]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """The command line with ``--runs`` given: ``lab("runs", "show", KEY)``."""

    def lab(*arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path)], input=answer)

    return lab


def keys(result: Result) -> list[str]:
    assert result.exception is None, result.output
    return result.output.split()


def test_a_list_has_one_line_per_run_below_its_header(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path, failed=("sgd",))
    lines = lab("runs").output.splitlines()
    assert lines[0].split() == ["key", "study", "arm", "seed", "status", "when", "seconds", "valid", "accuracy"]
    assert len(lines) == 13
    wide = next(line for line in lines if line.startswith(key_of("wide", 1)))
    assert wide.split()[1:5] == ["toy", "wide", "1", "finished"]
    assert wide.split()[-2:] == ["1.5", "0.74"]


def test_the_study_state_arm_and_seed_choose(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path, failed=("sgd",))
    store_study(tmp_path, "other", figures={"base": [1.0]})
    assert keys(lab("runs", "--study", "oth*", "--keys")) == [key_of("base", 0, "other")]
    assert len(keys(lab("runs", "--status", "failed", "--keys"))) == 4
    assert keys(lab("runs", "--arm", "w*", "--seed", "2", "--keys")) == [key_of("wide", 2)]


def test_a_study_has_the_runs_that_it_refers_to_besides_those_made_for_it(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [1.0]})
    folder = store_study(tmp_path, "again", figures={"base": [1.0]}, missing=("base",))
    record = json.loads((folder / "study.json").read_text())
    record["runs"][0]["key"] = key_of("base", 0, "toy")
    (folder / "study.json").write_text(json.dumps(record))
    assert keys(lab("runs", "--study", "again", "--keys")) == [key_of("base", 0, "toy")]


def test_a_list_is_sorted_by_any_figure_with_what_lacks_it_last(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path, figures={"base": [0.2, 0.9, 0.4], "bad": [0.0]}, failed=("bad",))
    expected = [key_of("base", 1), key_of("base", 2), key_of("base", 0), key_of("bad", 0)]
    assert keys(lab("runs", "--sort", "valid_accuracy", "--descending", "--keys")) == expected
    assert keys(lab("runs", "--sort", "valid_accuracy", "--limit", "1", "--keys")) == [key_of("base", 0)]


def test_an_unknown_column_gives_close_matches(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    error = str(lab("runs", "--sort", "valid_acuracy").exception)
    assert error.startswith("unknown column 'valid_acuracy'\n  did you mean: valid_accuracy")


def test_an_empty_store_says_how_to_fill_it(lab: Lab, tmp_path: Path) -> None:
    assert lab("runs").output == f"no run in {tmp_path} yet; lab run FILE makes some\n"


def test_a_choice_that_fits_nothing_says_so(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    assert lab("runs", "--arm", "deep").output == f"no run matches (12 runs in {tmp_path})\n"


def test_a_damaged_record_is_listed_as_far_as_it_can_be_read(lab: Lab, tmp_path: Path) -> None:
    folder = store_run(tmp_path, "toy", "base", 0, 0.5)
    (folder / "experiment.json").write_text("{")
    assert lab("runs").output.splitlines()[1].split()[:2] == [key_of("base", 0), "-1"]


# --- one run ----------------------------------------------------------------------------------------------------------


def test_show_tells_recipe_figures_environment_and_files(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    output = lab("runs", "show", key_of("wide", 1)).output
    said = [
        "arm wide, seed 1, made for toy",
        "used by: toy",
        "architecture.width",
        "0.74",
        "packages torch",
        "result.json",
    ]
    assert [text for text in said if text not in output] == []


def test_show_tells_why_a_run_failed(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path, failed=("sgd",))
    assert "ValueError: <b>too</b> many" in lab("runs", "show", key_of("sgd", 0)).output


def test_a_key_may_be_shortened_while_it_is_unique(lab: Lab, tmp_path: Path) -> None:
    store_run(tmp_path, "toy", "base", 0, 0.5)
    assert key_of("base", 0) in lab("runs", "show", key_of("base", 0)[:8]).output
    assert str(lab("runs", "show", "zzz").exception).startswith("no run's key begins with 'zzz'")


# --- removing ---------------------------------------------------------------------------------------------------------


def test_remove_asks_and_removes(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    done = lab("runs", "remove", key_of("wide", 1), key_of("wide", 2), answer="y\n")
    assert "remove 2 runs?" in done.output
    assert done.output.endswith("2 runs removed\n")
    assert len(list_runs(tmp_path)) == 10


def test_remove_does_nothing_when_the_answer_is_no(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    assert lab("runs", "remove", key_of("wide", 1), answer="n\n").exit_code == 1
    assert len(list_runs(tmp_path)) == 12


def test_one_unknown_key_removes_nothing(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    lab("runs", "remove", key_of("wide", 1), "zzz", "--yes")
    assert len(list_runs(tmp_path)) == 12


def test_a_run_in_training_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    busy = key_of("wide", 1)
    with Store(tmp_path).lock(busy):
        done = lab("runs", "remove", busy, key_of("wide", 2), "--yes")
    assert str(done.exception) == f"1 run skipped\n  being trained right now: {busy}\n  try again later"
    assert {run.key for run in list_runs(tmp_path)} >= {busy}
    assert len(list_runs(tmp_path)) == 11


def test_prune_removes_what_no_study_refers_to(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    store_run(tmp_path, "toy", "old", 0, 0.5)
    assert lab("runs", "prune", "--yes").output == "1 run removed\n"
    assert len(list_runs(tmp_path)) == 12


def test_prune_shows_before_it_removes(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    store_run(tmp_path, "toy", "old", 0, 0.5)
    output = lab("runs", "prune", "--dry-run").output
    assert key_of("old", 0) in output
    assert len(list_runs(tmp_path)) == 13


def test_prune_cleans_what_an_interrupted_removal_left(lab: Lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    (tmp_path / ".store" / ".removed-1" / "artefacts").mkdir(parents=True)
    assert lab("runs", "prune").output == "every run belongs to a study\n"
    assert not list((tmp_path / ".store").glob(".removed-*"))


def test_prune_refuses_while_a_studys_record_is_damaged(lab: Lab, tmp_path: Path) -> None:
    folder = store_study(tmp_path)
    (folder / "study.json").write_text("{")
    assert str(lab("runs", "prune", "--yes").exception).startswith("the record of the study 'toy' is damaged")
    assert len(list_runs(tmp_path)) == 12
