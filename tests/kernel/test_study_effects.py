"""Main effects and interactions of a grid: worked by hand, and as readers see them."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from lab_report.html import render_report
from rich.console import Console

from lab.cli.main import cli
from lab.errors import UnknownNameError
from lab.report.terminal import print_results
from lab.study.compare import Effect, factorial_effects
from lab.study.record import StudyRecord, read_study
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.stored_study import store_study

TWO_BY_TWO = {
    "base": {"width": "narrow", "depth": "flat"},
    "wide": {"width": "wide", "depth": "flat"},
    "deep": {"width": "narrow", "depth": "deep"},
    "wide + deep": {"width": "wide", "depth": "deep"},
}
OFF_GRID = 2**-12
"""Added to figures that stand for losses: whole numbers would be taken for figures on a grid."""

FIGURES = {
    "base": [10.0, 11.0, 12.0],
    "wide": [13.0, 15.0, 14.0],  # +3 +4 +2
    "deep": [11.0, 12.0, 13.0],  # +1 +1 +1
    "wide + deep": [15.0, 18.0, 18.0],  # beyond the sum of both: +1 +2 +3
}
"""Effect of wide: 3.5 5 3.5; of deep: 1.5 2 2.5; beyond their sum: 1 2 3."""


def effects(cells: Any, figures: Any, *, higher_is_better: bool = True) -> dict[str, Effect]:
    by_seed = {arm: {seed: value + OFF_GRID for seed, value in enumerate(values)} for arm, values in figures.items()}
    found = factorial_effects(cells, by_seed, higher_is_better=higher_is_better)
    return {effect.name: effect for effect in found}


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_a_main_effect_is_the_mean_over_the_other_factor() -> None:
    found = effects(TWO_BY_TWO, FIGURES)
    assert list(found) == ["wide", "deep", "wide × deep"]
    assert (found["wide"].effect, found["wide"].n) == (4.0, 3)
    assert found["deep"].effect == 2.0


def test_the_interaction_is_the_difference_of_differences_with_interval_and_test() -> None:
    # per seed 1 2 3: mean 2, deviation 1, t = 2 √3; with two degrees of freedom p = 1 - t / √(2 + t²)
    found = effects(TWO_BY_TWO, FIGURES)["wide × deep"]
    assert found.effect == 2.0
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14))
    # three intervals that hold together: with two degrees of freedom, t of the share s is s √2 / √(1 - s²)
    share = 0.95 ** (1 / 3)
    half = math.sqrt(2 * share**2 / (1 - share**2)) / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))


def test_p_values_are_corrected_over_all_effects_of_the_study() -> None:
    # t of 3.5 5 3.5 is 8, of 1.5 2 2.5 is 4 √3, of 1 2 3 is 2 √3; p is as above, then corrected after Šidák
    squares = {"wide": 64, "deep": 48, "wide × deep": 12}
    raw = {name: 1 - math.sqrt(square / (2 + square)) for name, square in squares.items()}
    found = effects(TWO_BY_TWO, FIGURES)
    assert {name: effect.p for name, effect in found.items()} == pytest.approx(raw)
    corrected = {name: 1 - (1 - p) ** 3 for name, p in raw.items()}
    assert {name: effect.p_corrected for name, effect in found.items()} == pytest.approx(corrected)


def test_every_further_level_is_compared_with_the_first_of_its_factor() -> None:
    cells = {f"{a}{b}": {"a": a, "b": b} for a in ("1", "2", "3") for b in ("x", "y")}
    figures = {"1x": [0, 0], "1y": [1, 1], "2x": [2, 4], "2y": [3, 5], "3x": [6, 6], "3y": [9, 5]}
    found = effects(cells, figures)
    assert {name: effect.effect for name, effect in found.items()} == {
        "2": 3.0,  # 2 and 4, with x as with y
        "3": 6.0,  # (6 + 8) / 2 and (6 + 4) / 2
        "y": pytest.approx(1.0),  # (1 + 1 + 3) / 3 and (1 + 1 - 1) / 3
        "2 × y": 0.0,
        "3 × y": 0.0,  # +2 and -2
    }
    assert found["2 × y"].levels == ("2", "y")


def test_with_three_factors_an_interaction_is_averaged_over_the_third() -> None:
    cells = {f"{a}{b}{c}": {"a": a, "b": b, "c": c} for a in "0A" for b in "0B" for c in "0C"}
    joint = {"ABC": 6.0, "AB0": 2.0}  # A and B together do 2 alone, 6 with C
    found = effects(cells, {name: [joint.get(name, 0.0)] * 2 for name in cells})
    assert found["A × B"].effect == 4.0
    assert found["A"].effect == 2.0
    assert list(found) == ["A", "B", "C", "A × B", "A × C", "B × C"]


def test_only_seeds_that_every_cell_finished_count() -> None:
    by_seed = {arm: dict(enumerate(values)) for arm, values in FIGURES.items()}
    del by_seed["deep"][1]
    found = factorial_effects(TWO_BY_TWO, by_seed, higher_is_better=True)
    assert [(effect.n, effect.effect) for effect in found] == [(2, 3.5), (2, 2.0), (2, 2.0)]


# --- verdicts ---------------------------------------------------------------------------------------------------------


def interaction(*beyond: float) -> dict[str, list[float]]:
    """Figures of cells that do nothing but ``beyond`` together, one per seed."""
    return {arm: list(beyond) if arm == "wide + deep" else [0.0] * len(beyond) for arm in TWO_BY_TWO}


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (interaction(1.0, 1.01, 0.99), "they do not just add up: together better than their sum by 1 ± 0.044"),
        (interaction(-1.0, -1.01, -0.99), "they do not just add up: together worse than their sum by 1 ± 0.044"),
        (interaction(1.0, -1.0, 1.0), "no interaction shown: 3 seeds would show one of 6.49 in 4 of 5 studies"),
        (interaction(1.0), "one seed: nothing can be concluded"),
        (interaction(0.0, 0.0), "they add up exactly: the same in every one of 2 seeds"),
        (interaction(1.0, math.nan), "a score is not finite, or so large that others are lost beside it"),
        (interaction(), "no seed in which every cell finished"),
    ],
)
def test_the_verdict_of_an_interaction_says_whether_they_add_up(figures: Any, verdict: str) -> None:
    assert effects(TWO_BY_TWO, figures)["wide × deep"].verdict == verdict


def test_where_less_is_better_less_than_the_sum_is_better() -> None:
    found = effects(TWO_BY_TWO, interaction(-1.0, -1.01, -0.99), higher_is_better=False)
    assert found["wide × deep"].verdict == "they do not just add up: together better than their sum by 1 ± 0.044"


def test_the_verdict_of_a_main_effect_is_as_plain() -> None:
    figures = {**FIGURES, "wide": [13.0, 14.0, 15.01], "wide + deep": [14.0, 15.0, 16.0]}
    found = effects(TWO_BY_TWO, figures)
    assert found["wide"].verdict == "better by 3 ± 0.013"
    assert (
        effects(TWO_BY_TWO, FIGURES)["deep"].verdict
        == "no effect shown: 3 seeds would show one of 2.81 in 4 of 5 studies"
    )
    nothing = {arm: [0.0, 0.0] for arm in TWO_BY_TWO}
    assert effects(TWO_BY_TWO, nothing)["deep"].verdict == "no effect: the same in every one of 2 seeds"


def test_with_no_true_effect_a_study_says_so_in_ninety_five_percent() -> None:
    studies = np.random.default_rng(0).normal(size=(3_000, 4, 5))
    wrong = sum(
        any(
            effect.p_corrected < 0.05
            for effect in effects(TWO_BY_TWO, dict(zip(TWO_BY_TWO, rows, strict=True))).values()
        )
        for rows in studies
    )
    assert wrong / len(studies) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(studies))


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., tuple[StudyRecord, Results]]:
    """A factorial study as ``lab run`` leaves it: ``stored(cells, figures, ...)``."""

    def stored(cells: Any = TWO_BY_TWO, figures: Any = FIGURES, **options: Any) -> tuple[StudyRecord, Results]:
        figures = {arm: [value + OFF_GRID for value in values] for arm, values in figures.items()}
        folder = store_study(tmp_path, figures=figures, **options)
        content = json.loads((folder / "study.json").read_text())
        for arm, factors in cells.items():
            content["arms"][arm]["factors"] = factors
        (folder / "study.json").write_text(json.dumps(content))
        store = Store(tmp_path)
        record = read_study(store, "toy")
        return record, record.results(store)

    return stored


def test_results_give_the_effects_of_the_deciding_figure_and_of_any_other(stored: Any) -> None:
    _, results = stored()
    assert [effect.effect for effect in results.effects()] == pytest.approx([4.0, 2.0, 2.0])
    assert [effect.effect for effect in results.effects("train_loss")] == [0.0, 0.0, 0.0]
    with pytest.raises(UnknownNameError, match="unknown metric 'valid_accurac'"):
        results.effects("valid_accurac")


@pytest.mark.parametrize(
    "without",
    [
        pytest.param({arm: {} for arm in TWO_BY_TWO}, id="arms that are no cells"),
        pytest.param({**TWO_BY_TWO, "wide + deep": {}}, id="a grid and a swap"),
        pytest.param({arm: {"width": arm} for arm in TWO_BY_TWO}, id="one factor"),
        pytest.param({arm: {"width": arm, "depth": "flat"} for arm in TWO_BY_TWO}, id="a factor of one level"),
    ],
)
def test_only_a_whole_grid_of_two_factors_has_effects(stored: Any, without: Any) -> None:
    assert stored(cells=without)[1].effects() == []


def test_a_grid_of_which_only_some_arms_were_chosen_has_none(stored: Any) -> None:
    chosen = ["base", "wide", "deep"]
    _, results = stored({arm: TWO_BY_TWO[arm] for arm in chosen}, {arm: FIGURES[arm] for arm in chosen})
    assert results.effects() == []


def test_a_cell_that_failed_leaves_nothing_to_average(stored: Any) -> None:
    _, results = stored(failed=("deep",))
    assert [(effect.n, effect.verdict) for effect in results.effects()] == [
        (0, "no seed in which every cell finished")
    ] * 3


# --- as readers see them ----------------------------------------------------------------------------------------------


def printed(results: Results, width: int = 160, *, wide: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_results(results, [], console, wide=wide)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 60, 80])
def test_a_narrow_terminal_cuts_nothing_off(stored: Any, width: int) -> None:
    _, results = stored()
    text = printed(results, width, wide=True)
    assert "…" not in text
    mean = results.compare()[0].scores["valid_loss"].mean
    assert f"{mean:.4g}" in text


def test_the_terminal_shows_effects_below_the_arms(stored: Any) -> None:
    _, results = stored()
    text = printed(results, wide=True)
    assert "main effects and interactions" in text
    row = next(line for line in text.splitlines() if "wide × deep" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    verdict = "no interaction shown: 3 seeds would show one of 7.93 in 4 of 5 studies"
    assert cells == ["wide × deep", "3", "+2 [-4.22, +8.22]", "0.37", verdict]
    short = next(line for line in printed(results).splitlines() if "wide × deep" in line)
    assert re.split(r"\s{2,}", short) == ["wide × deep", "3", "+2 [-4.22, +8.22]", "no interaction shown"]


def test_the_terminal_says_nothing_of_effects_where_there_are_none(stored: Any) -> None:
    assert "main effects" not in printed(stored(cells={})[1])


def test_one_seed_shows_numbers_and_that_nothing_can_be_concluded(stored: Any) -> None:
    text = printed(stored(figures={arm: values[:1] for arm, values in FIGURES.items()})[1], wide=True)
    row = next(line for line in text.splitlines() if "wide × deep" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][2:] == ["+1", "–", "one seed: nothing can be concluded"]


def test_cells_that_add_up_but_for_rounding_have_no_interaction() -> None:
    cells = {
        name: dict(zip("ab", levels, strict=True))
        for name, levels in {"base": "xy", "one": "Xy", "two": "xY", "both": "XY"}.items()
    }
    rng = np.random.default_rng(0)
    base, one, two = rng.normal(size=(3, 4))
    both = one + two - base
    scores = {
        name: dict(enumerate(values)) for name, values in {"base": base, "one": one, "two": two, "both": both}.items()
    }
    effect = factorial_effects(cells, scores, higher_is_better=True)[-1]
    assert effect.effect == 0
    assert effect.verdict == "they add up exactly: the same in every one of 4 seeds"


def rows_and_columns(*scores: float) -> dict[str, Any]:
    """Effects in a grid of two rows and three columns, with three seeds that differ little."""
    cells = {f"{a}{b}": {"row": a, "column": b} for a in "AB" for b in "xyz"}
    table = {
        name: {seed: score * (1 + 1e-3 * seed * (name == "By")) for seed in range(3)}
        for name, score in zip(cells, scores, strict=True)
    }
    return {effect.name: effect for effect in factorial_effects(cells, table, higher_is_better=False)}


def test_an_effect_that_does_not_touch_the_cell_that_diverged_is_as_without_it() -> None:
    found = rows_and_columns(1.0, 2.0, 1e34, 2.0, 3.5, 1e34)
    assert (
        found["y"].effect == rows_and_columns(1.0, 2.0, 3.0, 2.0, 3.5, 4.0)["y"].effect == pytest.approx(1.25, abs=0.01)
    )


def test_an_effect_that_is_lost_beside_a_cell_that_diverged_is_not_called_zero() -> None:
    found = rows_and_columns(1.0, 2.0, 1e34, 2.0, 3.5, 1e34)
    assert math.isnan(found["B"].effect)
    assert found["B"].verdict == "a score is not finite, or so large that others are lost beside it"


@pytest.mark.parametrize("diverged", [1e6, 1e10, 1e13])
def test_an_effect_beside_large_cells_keeps_its_digits(diverged: float) -> None:
    found = rows_and_columns(1.0, 2.0, diverged, 2.0, 3.5, diverged + 1)
    assert found["B"].effect == pytest.approx(3.5035 / 3, rel=0.01)


def test_the_page_answers_whether_two_levels_add_up(stored: Any) -> None:
    page = render_report(*stored())
    answer, table = page.split('id="answer"')[1].split("</section>")[0], page.split('id="effects"')[1]
    assert "<strong>wide × deep</strong>: no interaction shown: 3 seeds" in answer
    assert table.count('<th scope="row">') >= 3
    assert "+4 [-1.38, +9.38]" in table


def test_a_page_without_effects_has_no_table_of_them(stored: Any) -> None:
    assert 'id="effects"' not in render_report(*stored(cells={}))


def test_a_level_with_markup_in_its_name_is_text(stored: Any) -> None:
    bad = "<i>wide</i>"
    cells = {arm: {**cell, "width": bad if cell["width"] == "wide" else "narrow"} for arm, cell in TWO_BY_TWO.items()}
    record, results = stored(cells)
    assert bad not in render_report(record, results)
    assert bad in printed(results)


# --- lab compare ------------------------------------------------------------------------------------------------------


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., Result]:
    """``lab compare toy``, with more arguments."""
    return lambda *arguments: CliRunner().invoke(cli, ["compare", "toy", "--runs", str(tmp_path), *arguments])


def test_lab_compare_adds_the_effects_in_every_format_for_readers(stored: Any, compare: Any) -> None:
    stored()
    row = next(line for line in compare().output.splitlines() if line.startswith("wide × deep  "))
    assert re.split(r"  +", row) == ["wide × deep", "3", "+2 [-4.22, +8.22]", "0.37"]
    assert "\n| wide × deep | 3 | +2 \\[-4.22, +8.22\\] | 0.37 |\n" in compare("--format", "markdown").output
    latex = compare("--format", "latex").output
    assert r"wide $\times$ deep & 3 & +2 {[}$-$4.22, +8.22{]} & 0.37 \\" in latex
    assert r"\label{tab:toy-effects}" in latex


def test_the_csv_of_arms_stays_one_table_and_effects_have_their_own(stored: Any, compare: Any) -> None:
    stored()
    arms = pd.read_csv(io.StringIO(compare("--format", "csv").output))
    assert list(arms["arm"]) == list(TWO_BY_TWO)
    frame = pd.read_csv(io.StringIO(compare("--format", "csv", "--effects").output)).set_index("name")
    assert frame.loc["wide × deep", "effect"] == pytest.approx(2.0)
    assert frame.loc["wide", "n"] == 3
    assert frame.drop(columns="verdict").dtypes.map(lambda kind: kind.kind).isin(["i", "f"]).all()


def test_a_study_without_effects_says_why(stored: Any, compare: Any) -> None:
    stored(cells={})
    assert str(compare("--effects").exception) == (
        "the study 'toy' has no main effects and interactions\n"
        "  they need a grid of two factors or more, with all of its cells"
    )
    assert "effect" not in compare().output
