"""``lab run`` on a toy study: what it does, what it leaves, its exit codes."""

from __future__ import annotations

import csv
import shutil

import pytest

STUDY = '''"""Does a hidden layer help on a line?"""
import os
import signal
from pathlib import Path

import attrs
import torch
from torch import nn
from torch.utils.data import TensorDataset

from lab import Callback, Data, Experiment, Study, use


@attrs.define(eq=False)
class Points(Data):
    features: int = 2


def points(*, size: int = 24) -> Points:
    inputs = torch.linspace(-1, 1, 2 * size).reshape(size, 2)
    split = TensorDataset(inputs, inputs.sum(1, keepdim=True))
    return Points(split, split, fingerprint=f"points {size}")


class Line(nn.Module):
    def __init__(self, features: int, *, width: int = 0, breaks_at: int = 0):
        super().__init__()
        sizes = [features, width, 1] if width else [features, 1]
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])))
        self.steps, self.breaks_at = 0, breaks_at

    def forward(self, inputs):
        self.steps += self.training
        if self.breaks_at and self.steps >= self.breaks_at and not Path("mended").exists():
            raise ValueError("broken on purpose")
        return self.layers(inputs)


class PressCtrlC(Callback):
    """Interrupts once, in the second epoch."""

    name = "press_ctrl_c"

    def after_batch(self, learner):
        if Path("press").exists() and learner.position.epoch == 1:
            Path("press").unlink()
            os.kill(os.getpid(), signal.SIGINT)


base = Experiment(
    dataset=points, architecture=Line, loss="mse", callbacks=[PressCtrlC], lr=0.05, batch_size=8, epochs=2,
)
study = Study(base, seeds=2).swap("architecture.width", {"narrow": 2, "wide": 4})
'''
BROKEN = '\nstudy = study.swap("architecture.breaks_at", {"broken": 3})\n'


@pytest.fixture
def study(tmp_path):
    """The toy study's file; more may be added at its end."""

    def study(more: str = "", name: str = "line.py"):
        path = tmp_path / name
        path.write_text(STUDY + more, encoding="utf-8")
        return path

    return study


def rows(tmp_path, study="line"):
    with (tmp_path / "runs" / study / "runs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def runs_of(result):
    """Lines of progress of finished runs."""
    return [line for line in result.err.splitlines() if line.startswith("✓")]


# --- a study from question to answer ----------------------------------------------------------------------------------


def test_a_study_is_trained_compared_and_recorded(lab, study, tmp_path):
    result = lab("run", study())
    assert result.code == 0
    assert len(runs_of(result)) == 6
    assert "Does a hidden layer help on a line?" in result.out
    assert [(row["arm"], row["seed"], row["status"]) for row in rows(tmp_path)] == [
        (arm, seed, "finished") for arm in ("base", "narrow", "wide") for seed in "01"
    ]


def test_the_answer_says_how_many_examples_trained_and_validated(lab, study):
    assert "examples: train 24 · valid 24" in lab("run", study()).out


def test_an_optimizer_of_a_library_is_an_arm_as_it_is(lab, study, tmp_path):
    pytest.importorskip("pytorch_optimizer")
    more = (
        "from pytorch_optimizer import Lion\nstudy = study.swap('optimizer', {'lion': use(Lion, weight_decay=0.01)})\n"
    )
    assert lab("run", study(more), "--arms", "lion").code == 0
    losses = {row["arm"]: float(row["valid_loss"]) for row in rows(tmp_path) if row["seed"] == "0"}
    assert losses["lion"] != losses["base"]


def test_runs_csv_has_one_row_per_run_with_metrics_and_budget(lab, study, tmp_path):
    lab("run", study(), "--quiet")
    row = rows(tmp_path)[0]
    assert list(row) == [
        "arm",
        "seed",
        "key",
        "status",
        "train_loss",
        "valid_loss",
        "parameters",
        "steps",
        "examples_per_second",
        "seconds",
        "peak_memory_mb",
    ]
    assert (row["parameters"], row["steps"]) == ("3", "6")
    assert float(row["valid_loss"]) > 0


def test_a_second_run_finds_everything(lab, study, tmp_path):
    file = study()
    lab("run", file)
    before = rows(tmp_path)
    again = lab("run", file)
    assert (again.code, runs_of(again)) == (0, [])
    assert rows(tmp_path) == before


def test_fresh_trains_again_and_gives_the_same_numbers(lab, study, tmp_path):
    file = study()
    lab("run", file, "--arms", "narrow")
    before = [(row["key"], row["valid_loss"]) for row in rows(tmp_path)]
    again = lab("run", file, "--arms", "narrow", "--fresh")
    assert len(runs_of(again)) == 4
    assert [(row["key"], row["valid_loss"]) for row in rows(tmp_path)] == before


def test_a_study_grows_by_seeds_and_arms_and_trains_only_what_is_new(lab, study):
    file = study()
    assert len(runs_of(lab("run", file, "--arms", "narrow", "--seeds", 1))) == 2
    assert len(runs_of(lab("run", file, "--arms", "narrow", "--seeds", 3))) == 4
    assert len(runs_of(lab("run", file))) == 2


def test_a_plan_is_shown_and_nothing_is_trained(lab, study, tmp_path):
    result = lab("run", study(), "--plan")
    assert result.code == 0
    assert "architecture.width: 0 → 4" in result.out
    assert "6 runs to do, 0 found" in result.out
    assert not (tmp_path / "runs").exists()


def test_arms_are_selected_and_the_base_stays(lab, study, tmp_path):
    lab("run", study(), "--arms", "wide", "--seeds", 1)
    assert [row["arm"] for row in rows(tmp_path)] == ["base", "wide"]


def test_epochs_and_settings_change_the_base(lab, study, tmp_path):
    lab("run", study(), "--epochs", 1, "--set", "dataset.size=16", "--set", "batch_size=4", "--seeds", 1)
    assert {row["steps"] for row in rows(tmp_path)} == {"4"}


def test_quiet_shows_the_result_alone(lab, study):
    result = lab("run", study(), "--quiet")
    assert result.err == ""
    assert "plan of" not in result.out
    assert "verdict" in result.out


def test_runs_may_lie_elsewhere(lab, study, tmp_path, monkeypatch):
    lab("run", study(), "--runs", "elsewhere", "--seeds", 1, "--quiet")
    assert (tmp_path / "elsewhere" / "line" / "runs.csv").exists()
    monkeypatch.setenv("LAB_RUNS", "in_environment")
    lab("run", study(), "--seeds", 1, "--quiet")
    assert (tmp_path / "in_environment" / "line" / "runs.csv").exists()


def test_the_place_of_the_report_is_told_as_it_is(lab, study, tmp_path):
    lab("run", study(), "--seeds", 1, "--quiet", "--runs", "[bold] runs")
    result = lab("run", study(), "--seeds", 1, "--quiet", "--runs", "[bold] runs")
    assert f"report: {tmp_path}/[bold] runs/line/report.html" in result.out


def test_one_seed_says_that_nothing_can_be_concluded(lab, study):
    assert "one seed: nothing can be concluded" in lab("run", study(), "--seeds", 1, "--quiet").out


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_run_that_raises_is_recorded_and_the_others_finish(lab, study, tmp_path):
    file = study(BROKEN)
    result = lab("run", file, "--quiet", "--fresh")
    assert result.code == 1
    assert result.err == (f"2 of 8 runs failed\n  the same command repeats only those: lab run {file} --quiet\n")
    assert "ValueError: broken on purpose" in result.out
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 6 + ["failed"] * 2


def test_the_same_command_repeats_only_what_failed(lab, study, tmp_path):
    file = study(BROKEN)
    lab("run", file)
    (tmp_path / "mended").touch()
    result = lab("run", file)
    assert (result.code, len(runs_of(result))) == (0, 2)


def test_an_arm_that_cannot_make_one_step_is_found_before_anything_is_trained(lab, study, tmp_path):
    result = lab("run", study(BROKEN.replace("3", "1")))
    assert result.code == 2
    line = STUDY[: STUDY.index("raise ValueError")].count("\n") + 1
    assert result.err == (
        "lab: arm 'broken': ValueError: broken on purpose\n"
        f'  {tmp_path / "line.py"}, line {line}: raise ValueError("broken on purpose")\n'
        "  the first training step: batch [float32 (8, 2), float32 (8, 1)]\n"
        f"  {tmp_path / 'line.py'}\n"
    )
    assert not (tmp_path / "runs" / "line").exists()


def test_ctrl_c_saves_and_says_how_to_go_on(lab, study, tmp_path):
    file = study()
    undisturbed = [(row["key"], row["valid_loss"]) for row in (lab("run", file), rows(tmp_path))[1]]
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "press").touch()
    result = lab("run", file, "--quiet")
    assert result.code == 130
    assert result.err == (f"interrupted; everything is saved\n  go on with the same command: lab run {file} --quiet\n")
    assert lab("run", file, "--quiet").code == 0
    assert [(row["key"], row["valid_loss"]) for row in rows(tmp_path)] == undisturbed


def test_a_fresh_training_that_is_interrupted_says_which_runs_keep_their_earlier_results(lab, study, tmp_path):
    file = study()
    lab("run", file, "--arms", "narrow")
    keys = [row["key"] for row in rows(tmp_path)]
    (tmp_path / "press").touch()
    result = lab("run", file, "--arms", "narrow", "--quiet", "--fresh")
    assert result.code == 130
    others = keys[1:]
    assert result.err.endswith(
        "  3 runs were not trained again and keep their earlier results; "
        f"to train them too, first: lab runs remove {' '.join(others)}\n"
    )
    lab("runs", "remove", *others, "--yes")
    assert len(runs_of(lab("run", file, "--arms", "narrow"))) == 4


# --- questions that are wrong -----------------------------------------------------------------------------------------


def test_every_problem_is_told_at_once_with_the_file(lab, study, tmp_path):
    file = study('study = study.swap("optimizer", ["adan"])\n')
    result = lab("run", file, "--set", "lrr=1", "--set", "architecture.widht=2")
    assert result.code == 2
    assert result.err.startswith(f"lab: 3 problems in this study:\n  {file}\n\n--set lrr=1: unknown path 'lrr'\n")
    assert "unexpected parameter 'widht'" in result.err
    assert "arm 'adan': unknown optimizer 'adan'" in result.err
    assert not (tmp_path / "runs").exists()


def test_an_unknown_arm_is_told_with_all_arms(lab, study):
    result = lab("run", study(), "--arms", "wyde")
    assert (result.code, result.err) == (
        2,
        "lab: unknown arm 'wyde'\n  did you mean: wide?\n  arms: base, narrow, wide\n",
    )


def test_parameters_of_an_executor_can_be_set(lab, study):
    result = lab("run", study(), "--executor", "processes", "--set", "executor.workers=two", "--quiet")
    assert result.code == 2
    expected = "lab: 'executor.workers' must be int, not 'two'"
    assert result.err.splitlines() == [expected]


def test_parameters_of_no_executor_are_an_error(lab, study):
    result = lab("run", study(), "--set", "executor.gpus=1", "--quiet")
    assert result.err.splitlines() == ["lab: executor.gpus needs --executor", "  name it too: --executor ray"]


def test_an_unknown_executor_is_an_error(lab, study):
    result = lab("run", study(), "--executor", "in_proces", "--quiet")
    assert result.code == 2
    assert result.err.startswith("lab: unknown executor 'in_proces'\n  did you mean: in_process (lab_basics 0.1.0)")


def test_an_unknown_device_is_an_error(lab, study, tmp_path):
    result = lab("run", study(), "--device", "abacus")
    assert result.code == 2
    assert result.err.startswith("lab: the device 'abacus' cannot be used\n  cpu, cuda (a GPU by NVIDIA or AMD), ")


def test_a_missing_file_is_an_error(lab, tmp_path):
    result = lab("run", "nowhere.py")
    assert (result.code, result.err) == (
        2,
        "lab: there is no such study file\n  nowhere.py\n  lab new experiment NAME writes one to start from\n",
    )


def test_debug_shows_the_traceback_and_keeps_the_exit_code(lab):
    result = lab("run", "nowhere.py", "--debug")
    assert result.code == 2
    assert "Traceback (most recent call last)" in result.err


def test_a_folder_of_runs_that_cannot_be_made_is_an_error(lab, study, tmp_path):
    (tmp_path / "taken").touch()
    result = lab("run", study(), "--runs", "taken")
    assert (result.code, result.err) == (
        2,
        "lab: cannot write to the folder of runs: Not a directory\n  taken\n  choose another: --runs DIR\n",
    )


def test_a_built_in_plugin_that_is_switched_off_is_named_where_it_is_missed(lab, study):
    result = lab("--without", "lab_basics", "run", study())
    assert result.code == 2
    assert "unknown loss 'mse'" in result.err
    assert "switched off: lab_basics 0.1.0 (switched off by name)" in result.err


def test_only_plugins_leaves_other_third_parties_out(lab, study, install, tmp_path):
    install(broken_one="raise ValueError('not wanted')", fine_one="")
    result = lab("run", study(), "--quiet", "--seeds", 1, "--only-plugins", "fine_one")
    assert (result.code, result.err) == (0, "")


def test_a_bad_plugin_is_told_of_and_a_study_that_does_not_need_it_runs(lab, study, install):
    install(broken_one="raise ValueError('not today')", fails_at_report=REPORTER)
    result = lab("run", study(), "--quiet", "--seeds", 1)
    assert result.code == 0
    assert result.err == (
        "lab: plugin broken_one 1.0 could not be loaded and is skipped\n"
        "  ValueError: not today (broken_one.py, line 1)\n"
        "lab: plugin fails_at_report 1.0 failed in lab_report_sections\n"
        "  KeyError: 'figure' (fails_at_report.py, line 6)\n"
    )


REPORTER = """from lab import hookimpl


@hookimpl
def lab_report_sections(study, runs):
    return {}["figure"]
"""
