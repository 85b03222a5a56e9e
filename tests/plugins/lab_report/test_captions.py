"""Captions name what every row is compared with, and explain the columns that a table has."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest
from lab_report.html import render_report
from lab_report.tables import FORMATS, comparison_table, effects_table
from rich.console import Console

from lab.report.terminal import print_results
from lab.study.record import StudyRecord, read_study
from lab.study.results import Results
from lab.study.store import Store
from tests.kernel.stored_study import FIGURES, store_study

TUNED = {**FIGURES, "tuned, base": [0.6, 0.62, 0.61, 0.63], "tuned, wide": [0.7, 0.75, 0.7, 0.76]}


def stored(folder: Path, figures: Mapping[str, list[float]] = FIGURES) -> tuple[StudyRecord, Results]:
    store_study(folder, figures=dict(figures))
    record = read_study(Store(folder), "toy")
    return record, record.results(Store(folder))


def printed(results: Results, *, wide: bool = False) -> str:
    text = io.StringIO()
    print_results(results, [], Console(file=text, width=2000), wide=wide)
    return " ".join(text.getvalue().split())


@pytest.fixture
def tuned(tmp_path: Path) -> tuple[StudyRecord, Results]:
    record, results = stored(tmp_path, TUNED)
    bases = {"tuned, wide": "tuned, base"}
    arms = [attrs.evolve(arm, base=bases.get(arm.name, "")) for arm in results.arms]
    return attrs.evolve(record, arms=arms), Results(results.study, arms, results.runs)


def test_every_table_names_the_base_of_each_row_where_rows_have_several(tuned: tuple[StudyRecord, Results]) -> None:
    record, results = tuned
    said = "from 'base' in the rows 'wide', 'sgd', 'tuned, base' and 'tuned, base' in the row 'tuned, wide'"
    table = comparison_table(results)
    for layout in ("text", "markdown", "latex"):
        assert said in FORMATS[layout](table), layout
    assert FORMATS["csv"](table).splitlines()[0].endswith(",verdict,base")
    assert FORMATS["csv"](table).splitlines()[-1].endswith(',"tuned, base"')
    for wide in (False, True):
        assert said in printed(results, wide=wide)
    page = render_report(record, results).replace("&#39;", "'")
    assert page.count(said.removeprefix("from ")) == 2
    assert "compared with" in results._repr_html_()


def test_a_base_of_all_rows_is_named_once(tmp_path: Path) -> None:
    record, results = stored(tmp_path)
    assert "mean difference in valid_accuracy from base, paired by seed" in comparison_table(results).note
    assert "mean difference from the base, paired by seed" in printed(results)
    assert "mean difference from base, paired by seed" in render_report(record, results)
    assert "compared with" not in results._repr_html_()
    assert "from the arm above" in comparison_table(results, stepwise=True).note


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_table_without_intervals_explains_its_columns_and_claims_no_interval(tmp_path: Path, seeds: int) -> None:
    record, results = stored(tmp_path, {name: values[:seeds] for name, values in FIGURES.items()})
    why = "paired by seed; no row has an interval; its verdict says why"
    wide = printed(results, wide=True)
    assert "n: seeds. valid_accuracy and other metrics: mean ± standard deviation over seeds" in wide
    assert "p: nothing was tested." in wide
    page = " ".join(render_report(record, results).split())
    for text in (wide, printed(results), comparison_table(results).note, page):
        assert why in text
        assert "hold together" not in text
        assert "range in which" not in text
        assert "paired t-test" not in text


def test_a_wide_table_with_intervals_explains_them_and_names_the_test(tmp_path: Path) -> None:
    wide = printed(stored(tmp_path)[1], wide=True)
    assert "and the range in which the true one lies (95 %, all rows together)" in wide
    assert "p: paired t-test." in wide
    assert "budget: means over the runs that finished" in wide


def test_a_study_of_one_arm_explains_no_difference(tmp_path: Path) -> None:
    record, results = stored(tmp_path, {"base": [0.5, 0.6, 0.7]})
    assert "Δ:" not in printed(results, wide=True)
    assert "Δ is" not in comparison_table(results).note
    assert "Δ: mean" not in render_report(record, results)


def test_effects_without_intervals_claim_none(tmp_path: Path) -> None:
    cells = {
        "base": {"a": "x", "b": "y"},
        "one": {"a": "X", "b": "y"},
        "two": {"a": "x", "b": "Y"},
        "both": {"a": "X", "b": "Y"},
    }
    record, results = stored(tmp_path, {name: [0.1 * i] for i, name in enumerate(cells)})
    arms = [attrs.evolve(arm, factors=cells[arm.name]) for arm in results.arms]
    results = Results(results.study, arms, results.runs)
    note = effects_table(results).note
    assert "with no intervals" in note
    assert "p: nothing was tested." in note
    assert "Δ: mean effect on valid_accuracy; no row has an interval" in printed(results, wide=True)
    assert "n: seeds in which every cell finished. Δ: no row has an interval" in " ".join(
        render_report(record, results).split()
    )


def test_rows_that_form_no_pairs_are_named(tmp_path: Path) -> None:
    _, results = stored(tmp_path)
    runs = [attrs.evolve(run, seed=run.seed + 100) if run.arm == "sgd" else run for run in results.runs]
    note = comparison_table(Results(results.study, results.arms, runs)).note
    assert "paired by seed, but for sgd" in note
