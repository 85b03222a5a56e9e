"""The live display of a study: what its table and its bar show."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lab.report.live import Display


@pytest.fixture
def runs() -> list[Any]:
    return [SimpleNamespace(key=f"{arm}{seed}", arm=arm, seed=seed) for arm in ("base", "wide") for seed in (0, 1)]


def shown(display: Display) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(display)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_study_without_anything_to_train_is_at_100_percent(runs):
    assert "100%" in shown(Display(Console(), runs, found=[run.key for run in runs]))


def test_found_runs_are_no_part_of_what_is_done(runs):
    text = shown(Display(Console(), runs, found=["base0", "base1"]))
    assert " 0% " in text
    assert text.count("found") == 2


def test_a_finished_run_shows_its_score_and_advances_the_bar(runs):
    display = Display(Console(), runs, compare="valid_accuracy", quiet=True)
    record: Any = SimpleNamespace(status="finished", metrics={"valid_accuracy": 0.75}, budget={"seconds": 1.0})
    display.run_finished(runs[0], record)
    assert "✓ 0.7500" in shown(display)
    assert " 25% " in shown(display)
    assert display.ended == {"base0"}
