"""The comparison of a study as a table for a paper, a page or another program."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Protocol

import attrs

from lab.errors import LabError
from lab.report.cells import (
    EFFECTS_NOTE,
    NO_INTERVALS,
    NO_TESTS,
    against,
    difference_cells,
    effect_cells,
    has_intervals,
    is_judged,
    note_of_tests,
    pairing,
    score_cell,
    search_note,
)
from lab.report.documents import COMPARED, MEASURED
from lab.study.compare import SEED, ArmComparison, Effect
from lab.study.results import ArmRow, Results

__all__ = [
    "FORMATS",
    "ComparisonTable",
    "EffectsTable",
    "Table",
    "as_csv",
    "as_latex",
    "as_markdown",
    "as_text",
    "comparison_table",
    "effects_table",
    "escape_latex",
]


class Table(Protocol):
    """What the formats need to know of a table."""

    @property
    def header(self) -> Sequence[str]:
        """Names of the columns."""

    @property
    def cells(self) -> Sequence[Sequence[str]]:
        """Its rows, for readers."""

    @property
    def numbers(self) -> list[list[object]]:
        """Its rows for programs, the first with the names of the columns; nothing where a number is not known."""

    @property
    def verdicts(self) -> list[str]:
        """One sentence per row that was compared with something."""

    @property
    def note(self) -> str:
        """How to read it."""

    @property
    def label(self) -> str:
        """What it is called by in a text that refers to it."""


@attrs.frozen
class ComparisonTable:
    """A comparison, ready to be laid out.

    Attributes:
        study: its name.
        metric: the figure that is compared.
        direction: ``higher`` or ``lower``, whichever is better.
        header: names of the columns: arm, n, one per figure, the difference, p.
        cells: one row per arm.
        rows: the same rows as numbers.
        figures: the figures that have a column.
        stepwise: whether each arm is compared with the one above it, and not with the first.
        caveats: what must be known besides the numbers.
        paired: whether differences are those of runs with the same seed.
    """

    study: str
    metric: str
    direction: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    rows: Sequence[ArmRow]
    figures: Sequence[str]
    stepwise: bool = False
    caveats: Sequence[str] = ()
    paired: bool = True

    @property
    def verdicts(self) -> list[str]:
        """One sentence per arm besides the base."""
        return [f"{row.name}: {row.comparison.verdict}" for row in self.rows if row.comparison is not None]

    @property
    def label(self) -> str:
        """The study's name."""
        return self.study

    @property
    def numbers(self) -> list[list[object]]:
        """One row per arm: n, mean and deviation of every figure, then the comparison."""
        figures = [f"{name}_{part}" for name in self.figures for part in ("n", "mean", "sd")]
        rows: list[list[object]] = [
            [
                row.name,
                row.planned,
                row.finished,
                *_figure_numbers(row, self.figures),
                *_compared_numbers(row),
                row.base,
            ]
            for row in self.rows
        ]
        return [["arm", "runs", "finished", *figures, *COMPARED, "verdict", "base"], *rows]

    @property
    def note(self) -> str:
        """How to read the table."""
        found = [row.comparison for row in self.rows if row.comparison is not None]
        text = f"± is the standard deviation over {found[0].unit if found else SEED}s"
        if found:
            other = "the arm above" if self.stepwise else against(self.rows)
            pairs = pairing(found) if self.paired else "not paired"
            text += f". Δ is the mean difference in {self.metric} from {other}, {pairs}"
            text += ", with intervals that hold together in 95 %" if has_intervals(found) else f"; {NO_INTERVALS}"
        text += f"; {self.direction} is better."
        if found:
            text += f" p: {_tests(found)}."
        return text + "".join(f" {_sentence(caveat)}" for caveat in self.caveats)


def _tests(found: Sequence[ArmComparison | Effect]) -> str:
    tests = note_of_tests(found)
    return tests if tests == NO_TESTS else f"{tests}, after Šidák's correction"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


@attrs.frozen
class EffectsTable:
    """Main effects and interactions of a factorial study, ready to be laid out.

    Attributes:
        study: its name.
        metric: the figure that is compared.
        direction: ``higher`` or ``lower``, whichever is better.
        effects: one per row.
    """

    study: str
    metric: str
    direction: str
    effects: Sequence[Effect]

    @property
    def header(self) -> list[str]:
        """Effect, n, its size, p."""
        return ["effect", "n", f"Δ {self.metric} [95 %]", "p"]

    @property
    def cells(self) -> list[list[str]]:
        """One row per effect."""
        return [[effect.name, str(effect.n), *effect_cells(effect)[:2]] for effect in self.effects]

    @property
    def numbers(self) -> list[list[object]]:
        """One row per effect, numbers in full."""
        rows: list[list[object]] = [
            [effect.name, effect.n, *(_number(getattr(effect, name)) for name in MEASURED), effect.verdict]
            for effect in self.effects
        ]
        return [["name", "n", *MEASURED, "verdict"], *rows]

    @property
    def verdicts(self) -> list[str]:
        """One sentence per effect."""
        return [f"{effect.name}: {effect.verdict}" for effect in self.effects]

    @property
    def note(self) -> str:
        """How to read the table."""
        intervals = "intervals that hold together in 95 %" if has_intervals(self.effects) else "no intervals"
        tests = _tests(self.effects)
        paired_by = self.effects[0].paired_by if self.effects else SEED
        return (
            f"Main effects and interactions in {self.metric} with {intervals}, paired by {paired_by}; "
            f"{self.direction} is better. {EFFECTS_NOTE} p: {tests}"
            f"{'' if tests == NO_TESTS else ', in which arms and effects count together'}."
        )

    @property
    def label(self) -> str:
        """The study's name, and that these are its effects."""
        return f"{self.study}-effects"


def comparison_table(
    results: Results, metric: str = "", *, stepwise: bool = False, paired: bool = True
) -> ComparisonTable:
    """Compare the arms in ``metric``, the study's own by default, with the base or each with the arm before it.

    Raises:
        UnknownNameError: no run has such a figure; close matches are given.
    """
    rows = results.compare(metric, stepwise=stepwise, paired=paired)
    caveats = []
    if results.study.searching is not None and not stepwise:
        # as lab run shows them: the best trials, and that they were chosen by what they are shown with
        rows = results.leading_rows(rows)
        caveats = [search_note(results)]
    metric = metric or results.study.compare
    figures = [name for name in results.metric_names if is_judged(name) or name == metric]
    figures.sort(key=lambda name: name != metric)
    return ComparisonTable(
        results.study.name,
        metric,
        results.better_direction(metric),
        ["arm", "n", *figures, f"Δ {metric} [95 %]", "p"],
        [_cells(row, figures) for row in rows],
        rows,
        figures,
        stepwise,
        [*results.caveats(rows, metric), *caveats],
        paired,
    )


def effects_table(results: Results, metric: str = "") -> EffectsTable:
    """Main effects and interactions in ``metric``, the study's own by default.

    Raises:
        UnknownNameError: no run has such a figure; close matches are given.
        LabError: the study has none.
    """
    effects = results.effects(metric)
    if not effects:
        raise LabError(
            f"the study '{results.study.name}' has no main effects and interactions",
            hint="they need a grid of two factors or more, with all of its cells",
        )
    metric = metric or results.study.compare
    direction = results.better_direction(metric)
    return EffectsTable(results.study.name, metric, direction, effects)


def _cells(row: ArmRow, figures: Sequence[str]) -> list[str]:
    return [row.name, row.count, *(score_cell(row, name) for name in figures), *difference_cells(row.comparison)[:2]]


# --- formats ----------------------------------------------------------------------------------------------------------


def as_text(table: Table) -> str:
    """Aligned columns, the verdicts below."""
    lines = [list(table.header), *map(list, table.cells)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    body = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
    return "\n".join([*body, "", *table.verdicts, "", table.note])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def as_markdown(table: Table) -> str:
    """A table in Markdown, the verdicts as a list."""
    lines = [table.header, ["---", *(["---:"] * (len(table.header) - 1))], *table.cells]
    body = [f"| {' | '.join(cell if cell.startswith('---') else _markdown(cell) for cell in line)} |" for line in lines]
    return "\n".join([*body, "", *(f"- {_markdown(verdict)}" for verdict in table.verdicts), "", _markdown(table.note)])


def _markdown(text: str) -> str:
    text = " ".join(text.splitlines())  # a line end would end the row of the table
    for mark in "\\|*_`<[]":
        text = text.replace(mark, f"\\{mark}")
    return text


def as_latex(table: Table) -> str:
    """A ``table`` for LaTeX with ``booktabs``; verdicts and notes stand in comments and in the caption."""
    lines = [" & ".join(map(escape_latex, line)) + r" \\" for line in table.cells]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            *(f"% {' '.join(verdict.split())}" for verdict in table.verdicts),
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape_latex(table.note)}}}",
            rf"  \label{{tab:{_label(table.label)}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"    \toprule",
            f"    {' & '.join(map(escape_latex, table.header))} " + r"\\",
            r"    \midrule",
            *(f"    {line}" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "→": r"$\to$",
    "−": r"$-$",
    "–": "--",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
}


def escape_latex(text: str) -> str:
    """A text as LaTeX; a minus before a number becomes one.

    >>> escape_latex("seq2seq_rnn -0.5")
    'seq2seq\\\\_rnn $-$0.5'
    """
    escaped = "".join(_LATEX.get(mark, mark) for mark in " ".join(text.split()))
    for before in (" ", "{[}"):
        for digit in "0123456789":
            escaped = escaped.replace(f"{before}-{digit}", f"{before}$-${digit}")
    return f"$-${escaped[1:]}" if escaped[:1] == "-" and escaped[1:2].isdigit() else escaped


def _label(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)


def as_csv(table: Table) -> str:
    """Numbers in full."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table.numbers)
    return text.getvalue().rstrip("\n")


def _figure_numbers(row: ArmRow, figures: Sequence[str]) -> list[object]:
    found = [row.scores.get(name) for name in figures]
    return [
        value
        for summary in found
        for value in ((summary.n, _number(summary.mean), _number(summary.spread)) if summary else (0, "", ""))
    ]


def _compared_numbers(row: ArmRow) -> list[object]:
    if row.comparison is None:
        return [""] * (len(COMPARED) + 1)
    return [*(_number(getattr(row.comparison, name)) for name in COMPARED), row.comparison.verdict]


def _number(value: float) -> float | str:
    return "" if math.isnan(value) else value


FORMATS = {"text": as_text, "markdown": as_markdown, "latex": as_latex, "csv": as_csv}
"""How a comparison may be laid out."""
