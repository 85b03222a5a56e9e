"""The answer on the screen: one table that fits, and the rest when it is asked for."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

import lab
from lab.report.cells import short_verdict
from lab.report.terminal import _print_sentences, make_console, print_results
from lab.study.compare import compare_arms
from lab.study.results import Results

ARMS = {
    "base": 4.0,
    "bidirectional + additive attention": 2.5,
    "bidirectional + scaled dot-product attention": 3.0,
    "much more dropout in the encoder": 4.01,
    "much more dropout in the decoder": 4.5,
}


@pytest.fixture
def results() -> Results:
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "valid_loss": loss + 0.1 * seed + 0.01 * (seed * len(arm) % 7),
            "valid_bleu": 30 - loss,
        }
        for arm, loss in ARMS.items()
        for seed in range(4)
    ]
    return lab.compare(rows, metric="valid_loss")


def printed(results: Results, width: int, *, wide: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_results(results, [], console, wide=wide)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_each_arm_has_one_line_that_fits_and_a_name_of_its_own(results: Results, width: int) -> None:
    lines = printed(results, width)
    rows = [line for line in lines[2:9] if " 4  " in line]
    assert max(map(len, lines)) <= width
    verdicts = [row.split()[-1] for row in rows]
    assert verdicts[:3] == ["base", "better", "better"]
    assert verdicts[3] in ("shown", "difference")
    names = [row.split(" 4  ")[0].strip() for row in rows]
    assert len(set(names)) == len(ARMS)
    assert names[1].startswith("bidi")
    assert names[1].endswith("ention")


def test_names_that_would_look_alike_are_folded_and_numbers_never_are() -> None:
    parts = ["adamw with decay of 0.1", "adamw with decay of 0.01"], ["smooth labels and warmup", "smooth labels"]
    names = [
        "base",
        *(" + ".join([one, other, "twice as many hidden units"]) for one in parts[0] for other in parts[1]),
    ]
    rows = [
        {"arm": name, "seed": seed, "valid_accuracy": 0.8 + 0.01 * ((seed + 1) * len(name) % 13)}
        for name in names
        for seed in range(3)
    ]
    results = lab.compare(rows, metric="valid_accuracy", higher_is_better=True)
    lines = printed(results, 80)
    assert max(map(len, lines)) <= 80
    figures = [line for line in lines if " 3  " in line]
    assert len(figures) == len(names)
    assert all(re.search(r" 3 +\d\.\d+ ± \d\.\d+ ", line) for line in figures)
    assert all(line.count("[") == line.count("]") for line in figures)


def test_what_the_short_verdict_leaves_out_stands_below_the_table(results: Results) -> None:
    text = " ".join(" ".join(printed(results, 80)).split())
    assert "much more dropout in the encoder: no difference shown: 4 seeds would show one of" in text
    assert "better by" not in text


def test_other_metrics_and_the_statistics_are_shown_on_demand(results: Results) -> None:
    narrow, wide = "\n".join(printed(results, 200)), "\n".join(printed(results, 200, wide=True))
    for text in ("valid_bleu", "sign-flip", "budget", "better by"):
        assert text not in narrow
        assert text in wide


def test_the_statistics_behind_verdicts_of_two_seeds_claim_no_test(results: Results) -> None:
    rows = [row for row in results.rows() if row["seed"] < 2]
    two = lab.compare(rows, metric="valid_loss")
    text = " ".join(printed(two, 300, wide=True))
    assert "two seeds: no verdict" in text
    assert "p: nothing was tested." in text
    assert "sign-flip" not in text


def test_two_seeds_are_said_to_have_no_verdict(results: Results) -> None:
    few = lab.compare(
        [{"arm": arm, "seed": seed, "valid_loss": seed + len(arm)} for arm in ("a", "bb") for seed in range(2)],
        metric="valid_loss",
    )
    (comparison,) = [row.comparison for row in few.compare() if row.comparison is not None]
    assert short_verdict(comparison) == "no verdict"


def test_output_that_is_no_terminal_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert make_console().width == 90
    monkeypatch.delenv("COLUMNS")
    assert make_console().width == 160


def test_a_metric_without_a_direction_is_not_said_to_have_one(results: Results) -> None:
    assert results.better_direction("something") == "it is not known which direction"


def test_a_verdict_that_is_barely_one_says_how_far_such_verdicts_exaggerate() -> None:
    base = {seed: 0.3 + 0.1 * seed for seed in range(10)}
    noise = [0.31, -0.42, 0.05, 0.77, -0.63, 0.48, -0.11, 0.93, -0.2, 0.57]
    shown = []
    for shift in (0.3, 3.0):
        arm = {seed: value + shift + noise[seed] for seed, value in base.items()}
        console = Console(record=True, width=160)
        (found,) = compare_arms(base, {"arm": arm}, higher_is_better=True)
        assert found.is_better
        _print_sentences([("arm", found)], console)
        shown.append(console.export_text())
    assert "× too large if the true difference is half of it (verdicts of 10 seeds are)" in shown[0]
    assert shown[1] == ""
