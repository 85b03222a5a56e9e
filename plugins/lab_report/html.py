"""``report.html``: a study in one file that opens from disk, on a phone or on paper, without a network."""

from __future__ import annotations

import math
import re
import shlex
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

import lab
from lab.errors import StoreError
from lab.files import atomic_path
from lab.report.cells import (
    EFFECTS_NOTE,
    NO_INTERVALS,
    NO_TESTS,
    against,
    arm_color,
    arm_mark,
    budget_cells,
    budget_names,
    difference_cells,
    effect_cells,
    environment_rows,
    has_intervals,
    has_sign_flip,
    is_judged,
    note_of_tests,
    number,
    pairing,
    percent,
    recipe,
    score_cell,
    search_note,
    without_hash,
)
from lab.report.section import Section
from lab.study.compare import ArmComparison, Effect, summarize
from lab.study.experiment import describe_value
from lab.study.folds import describe_replication
from lab.study.notes import Notes
from lab.study.record import StudyRecord, shell_name
from lab.study.results import ArmRow, Results
from lab.study.store import RunRecord
from lab_report import charts

__all__ = ["render_report", "runs_beside", "write_outside_report", "write_report"]

INTERACTION = "the effect of both together beyond the sum of their separate effects"
MAX_TITLE_LENGTH = 150
CODE = re.compile(r"`([^`]+)`")
EMPHASIS = re.compile(r"(?<![\w*])\*(\S(?:[^*]*\S)?)\*(?![\w*])")
"""Text between asterisks that touch it: a product such as ``a * b * c`` is not."""
MARKS = {"better": "▲", "worse": "▼", "open": "○"}
PLAIN_COLUMNS = ("arm", "seed", "status", "key")
TABLE_EPOCHS = 12
"""Epochs of a longer history that the table shows, evenly spaced."""


class Paragraph(NamedTuple):
    """A paragraph of a question; code keeps its lines."""

    text: str
    is_code: bool

    @property
    def html(self) -> Markup:
        """The text escaped, with what stands between asterisks as emphasis and between backquotes as code."""
        # every second piece is code, in which an asterisk is an asterisk
        pieces = CODE.split(self.text)
        marked = [
            Markup("<code>{}</code>").format(piece) if number % 2 else _emphasized(piece)
            for number, piece in enumerate(pieces)
        ]
        return Markup("").join(marked)


def _emphasized(text: str) -> Markup:
    # what is escaped has no asterisk that the text had not
    return Markup(EMPHASIS.sub(r"<em>\1</em>", str(escape(text))))


def write_report(record: StudyRecord, results: Results, sections: Sequence[Section] = ()) -> Path:
    """Write ``report.html`` and ``runs.csv`` into the study's folder and return the report's path.

    Args:
        record: the study.
        results: its runs.
        sections: sections of plugins, in order.
    """
    page = render_report(record, results, sections)
    try:
        # atomic but not durable: `lab report` writes the page again from the store
        for path in (paths := _paths(record)):
            # the rows first: a page whose rows are missing is worse than rows without a page
            with atomic_path(runs_beside(path), durable=False) as temporary:
                results.write_csv(temporary)
            with atomic_path(path, durable=False) as temporary:
                temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write the report: {error.strerror or error}", where=str(record.folder)) from error
    return paths[0]


def write_outside_report(folder: Path, source: str, results: Results) -> Path:
    """Write ``report.html`` and ``runs.csv`` of results from elsewhere into a folder and return the report's path.

    Args:
        folder: made if it is not there.
        source: the file or tracker.
        results: with the metric that the report is about.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write the report: {error.strerror or error}", where=str(folder)) from error
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    command = shlex.join(["lab", *sys.argv[1:]])
    # The record of a study without an experiment: the page leaves out what is not known.
    record = StudyRecord(results.study, results.arms, [], {}, [], source, command, made, lab.__version__, folder)  # type: ignore[arg-type]
    return write_report(record, results)


def _paths(record: StudyRecord) -> list[Path]:
    """Return the paths of the report: one per variant, and ``report.html`` for the variant run last."""
    plain = record.folder / "report.html"
    # links to report.html stay valid, and older variants keep a page of their own
    own = plain.with_name(f"report-{record.variant}.html")
    return [plain] if not record.others else [own, plain] if record.is_last else [own]


def runs_beside(report: Path) -> Path:
    """Return the path of a report's rows: ``runs.csv`` beside ``report.html``."""
    return report.with_name(f"runs{report.stem.removeprefix('report')}.csv")


def render_report(record: StudyRecord, results: Results, sections: Sequence[Section] = ()) -> str:
    """Return the report as one HTML page."""
    page = _environment().get_template("report.html.j2")
    return page.render(**_context(record, results, sections))


@lru_cache
def _environment() -> jinja2.Environment:
    # autoescape: names of arms, errors and questions come from a store that may be somebody else's
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["value"] = describe_value
    environment.filters["number"] = number
    environment.filters["plain"] = without_hash
    return environment


def _context(record: StudyRecord, results: Results, sections: Sequence[Section]) -> dict[str, Any]:
    rows, effects = results.leading_rows(results.compare()), results.effects()
    finished = [run for run in results.runs if run.status == "finished"]
    title, paragraphs = _title(record)
    names, costs = results.leading_arms(), budget_names(rows)
    # of the leading arms only: with every trial of a search the page would be too large to open
    histories = charts.histories_of([run for run in results.runs if run.arm in set(names)])
    figures = charts.figures_of(histories, first=record.study.compare)
    drawn = _charts(results, rows, histories, figures)
    return {
        "record": record,
        "title": title,
        "paragraphs": paragraphs,
        "compare": record.study.compare,
        "direction": results.better_direction(record.study.compare),
        "finished": len(finished),
        "total": len(results.runs),
        "answers": [*_answers(rows, record), *_interactions(effects)],
        "metrics": _shown_metrics(results),
        "rows": [_table_row(row, results, costs) for row in rows],
        "effects": [_effect_row(effect) for effect in effects],
        "effects_note": EFFECTS_NOTE,
        "tests": note_of_tests(row.comparison for row in rows),
        "effects_tests": note_of_tests(effects),
        "no_tests": NO_TESTS,
        "no_intervals": NO_INTERVALS,
        "has_intervals": has_intervals(row.comparison for row in rows),
        "effects_have_intervals": has_intervals(effects),
        "against": against(rows),
        "pairing": pairing(row.comparison for row in rows),
        "has_budget": any(run.budget for run in results.runs) or bool(record.base),
        "budget_names": [name.replace("_", " ") for name in costs],
        "notes": [
            # notes on the data have a place of their own
            *(each for each in results.caveats(rows) if each not in record.notes.caveats()),
            *([search_note(results)] if record.study.searching else []),
            *results.budget_notes(),
        ],
        "arms": [{"name": name, "color": arm_color(i), "mark": arm_mark(i)} for i, name in enumerate(names)],
        "margin": results.margin,
        "figures": figures,
        "charts": drawn,
        # 900 kB that a page without a chart does not need
        "drawing_code": charts.drawing_code() if drawn else "",
        "curve_tables": [_curve_table(histories, names, name) for name in figures],
        "sections": sections,
        "replication": describe_replication(getattr(results.study, "rules", {}), record.study.seed_list),
        "each": f"{results.unit}s",
        "run_columns": _run_columns(results.rows()),
        "runs": results.rows(),
        "failures": [_failure(run) for run in results.failed],
        "recipe": recipe(record.base),
        "sizes": record.notes.size_lines(),
        "data_notes": _warnings_first(record.notes),
        "arm_notes": record.notes.arm_lines(),
        "environment": _environment_rows(results.runs),
        "commands": _commands(record, results),
    }


def _title(record: StudyRecord) -> tuple[str, list[Paragraph]]:
    """Return the heading and the text below it: the question's first paragraph is the heading if it is short."""
    paragraphs = [_paragraph(part) for part in record.study.question.split("\n\n") if part.strip()]
    # a long paragraph as a heading would fill a phone's screen
    if paragraphs and not paragraphs[0].is_code and len(paragraphs[0].text) <= MAX_TITLE_LENGTH:
        return paragraphs[0].text, paragraphs[1:]
    return record.study.name, paragraphs


def _paragraph(text: str) -> Paragraph:
    """Return a paragraph of a docstring; indented ones are commands, whose lines stay as they are."""
    lines = [line for line in text.splitlines() if line.strip()]
    if all(line.startswith("    ") for line in lines):
        return Paragraph(textwrap.dedent("\n".join(lines)), is_code=True)
    return Paragraph(" ".join(text.split()), is_code=False)


# --- the answer -------------------------------------------------------------------------------------------------------


def _answers(rows: Sequence[ArmRow], record: StudyRecord) -> list[dict[str, Any]]:
    differences = {arm.row or arm.name: arm.difference for arm in record.arms}
    return [
        {
            "arm": row.name,
            "state": _state(row),
            "mark": MARKS[_state(row)],
            "verdict": _verdict(row, row.comparison),
            "difference": differences[row.name],
        }
        for row in rows
        if row.comparison is not None
    ]


def _interactions(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """Return the interaction as an answer if it is the only one: in a grid of two factors of two levels."""
    found = [effect for effect in effects if effect.is_interaction]
    return [
        {"arm": effect.name, "state": "open", "mark": MARKS["open"], "verdict": effect.verdict, "note": INTERACTION}
        for effect in found
        if len(found) == 1
    ]


def _effect_row(effect: Effect) -> dict[str, Any]:
    difference, p_value, verdict = effect_cells(effect)
    return {"name": effect.name, "n": effect.n, "difference": difference, "p": p_value, "verdict": verdict}


def _verdict(row: ArmRow, comparison: ArmComparison) -> str:
    has_finished = any(summary.n for summary in row.scores.values())
    # a verdict about zero runs would read as if the arm had been compared
    return comparison.verdict if has_finished else f"none of its {row.failed} runs finished"


def _state(row: ArmRow) -> str:
    return charts.STATES[row.comparison.is_better if row.comparison is not None else None]


def _table_row(row: ArmRow, results: Results, costs: Sequence[str]) -> dict[str, Any]:
    metrics = _shown_metrics(results)
    comparison = row.comparison
    difference, p_value, _ = difference_cells(comparison)
    return {
        "arm": row.name,
        "n": row.count,
        "failed": row.failed,
        "losses": row.losses,
        "state": _state(row) if comparison is not None else "base",
        "cells": [score_cell(row, name) for name in metrics],
        "difference": difference,
        "p": p_value,
        "more": _more_cells(comparison),
        "budget": budget_cells(row, costs),
    }


def _shown_metrics(results: Results) -> list[str]:
    return [name for name in results.metric_names if is_judged(name) or name == results.study.compare]


def _more_cells(comparison: ArmComparison | None) -> list[str]:
    """Return pairs, p, sign-flip p, share of improved seeds, and the difference shown with 80 % probability."""
    if comparison is None or comparison.n < 2:
        return []
    p_values = (comparison.p, comparison.p_sign_flip if has_sign_flip(comparison) else math.nan)
    return [
        str(comparison.n),
        *("–" if math.isnan(value) else f"{value:.2g}" for value in p_values),
        percent(comparison.improvement),
        "–" if math.isnan(comparison.detectable) else f"{comparison.detectable:.2g}",
    ]


def _charts(
    results: Results, rows: Sequence[ArmRow], histories: charts.Histories, figures: Sequence[str]
) -> dict[str, Any]:
    names = results.leading_arms()
    found = {
        "differences": charts.difference_chart(rows, _per_seed(results, names), results.study.compare, results.margin),
        "scores": charts.scores_chart(
            {name: list(results.scores(name, results.study.compare).values()) for name in names},
            results.study.compare,
            results.overlap,
        ),
        "curves": charts.curves_chart(histories, names, figures),
    }
    return {name: chart for name, chart in found.items() if chart is not None}


def _per_seed(results: Results, names: Sequence[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name in names[1:]:
        base = results.scores(results.base_of(name), results.study.compare)
        figures = results.scores(name, results.study.compare)
        found[name] = [figures[seed] - base[seed] for seed in base if seed in figures]
    return found


# --- curves, runs, failures -------------------------------------------------------------------------------------------


def _curve_table(histories: charts.Histories, arms: Sequence[str], figure: str) -> dict[str, Any]:
    """Return means over seeds, one row per epoch and one column per arm."""
    values: dict[tuple[int, str], list[float]] = {}
    for run, history in histories:
        for row in history:
            if math.isfinite(row.get(figure, math.nan)):
                values.setdefault((int(row["epoch"]), run.arm), []).append(row[figure])
    # the table is the chart's text version; twelve rows show a curve's course
    epochs = charts.thinned([{"epoch": epoch} for epoch in sorted({epoch for epoch, _ in values})], TABLE_EPOCHS)
    rows = [
        [number(int(row["epoch"]) + 1), *(_mean(values.get((int(row["epoch"]), arm), [])) for arm in arms)]
        for row in epochs
    ]
    return {"figure": figure, "arms": arms, "rows": rows}


def _mean(values: Sequence[float]) -> str:
    return number(summarize(values).mean if values else None)


def _run_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name not in PLAIN_COLUMNS]


def _failure(run: RunRecord) -> dict[str, Any]:
    texts = {"interrupted": "interrupted; the same command goes on with it", "absent": "not run yet"}
    return {
        "arm": run.arm,
        "seed": run.seed,
        "key": run.key,
        "status": run.outcome,
        "error": run.result.get("error", texts.get(run.status, run.status)),
        "traceback": run.result.get("traceback", ""),
    }


def _warnings_first(notes: Notes) -> list[dict[str, Any]]:
    warnings = notes.warning_lines()
    others = [line for line in notes.data_lines() if line not in warnings]
    return [{"text": line, "is_warning": line in warnings} for line in (*warnings, *others)]


# --- how it was made --------------------------------------------------------------------------------------------------


def _environment_rows(runs: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Return the environment of the runs, one row per entry; differing values with their number of runs."""
    counts: dict[str, Counter[str]] = {}
    for run in runs:
        # over all runs: parts of a study may have been trained on other machines or after an upgrade
        for path, value in environment_rows(_read_environment(run)):
            counts.setdefault(path, Counter())[describe_value(value)] += 1
    return [(path, _counted(values)) for path, values in counts.items()]


def _read_environment(run: RunRecord) -> dict[str, Any]:
    try:
        return run.environment()
    except StoreError:
        return {}


def _counted(values: Counter[str]) -> str:
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({count} runs)" for value, count in values.most_common())


def _commands(record: StudyRecord, results: Results) -> list[tuple[str, str]]:
    """Return the commands of this study with a description of each."""
    if not record.base:
        return [(record.command, "compares the rows again and writes this page")]
    root = record.folder.parent
    elsewhere = "" if root == Path("runs") else f" --runs {shlex.quote(str(root))}"
    name = shell_name(record.study.name, root, record.variant if record.others else "")
    key = next((run.key for run in results.runs if run.status == "finished"), "")
    again = [(record.command, "runs the study again; finished runs are not trained twice")]
    one = (
        [(f"lab reproduce {key}{elsewhere}", "trains one run again and compares every epoch's numbers")] if key else []
    )
    return [
        *(again if record.command else []),
        (f"lab report {name}", "writes this page again from the store"),
        (f"lab compare {name} --format latex", "the comparison as a table for a paper"),
        *one,
    ]
