"""Studies in a notebook: a table that is updated while they run, and the comparison with pictures and the report."""

from __future__ import annotations

import base64
import html
import io
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from lab.errors import StoreError
from lab.notebook import Output, bar
from lab.report.cells import difference_cells, effect_cells, has_intervals, score_cell, short_verdict
from lab.report.live import MAX_ARMS_SHOWN, MAX_SEEDS_SHOWN, Display
from lab.report.terminal import lines_below, print_results
from lab.study.compare import ArmComparison, Effect
from lab.study.notes import notes_of_plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.registry.plugins import Catalog
    from lab.study.preflight import Plan
    from lab.study.record import StudyRecord
    from lab.study.results import ArmRow, Results
    from lab.study.run import Run, RunProgress
    from lab.study.store import RunRecord

__all__ = ["StudyView", "results_html", "results_text"]

TEXT_WIDTH = 100
"""Columns of the text that stands for rich output where a front end shows none."""

GRAY = "#7f7f7f"
"""Axes and texts of pictures, which are seen on light and on dark pages: a notebook does not say which it has."""
COLORS = ("#7f7f7f", "#4c92d9", "#e0803a", "#3da35d", "#c75c9b", "#9a7bd1", "#b39b2e", "#3aa6a6")
"""Colors of arms, the base first; readable on white and on black."""
VERDICTS = {True: "#3da35d", False: "#d9534f", None: GRAY}

MAX_PICTURED = 20
"""Arms that a picture shows at most."""

CELL = "padding:.2em .7em;text-align:{};white-space:nowrap"


class StudyView:
    """View of one call of ``study.run()``: progress while it runs, then its report."""

    def __init__(self) -> None:
        self._output = Output()

    @contextmanager
    def __call__(self, plan: Plan) -> Iterator[NotebookDisplay]:
        """Show a plan and, while it is executed, its runs."""
        display = NotebookDisplay(self._output, plan)
        try:
            with display:
                yield display
        except KeyboardInterrupt:
            display.end("interrupted; what was trained is kept: run the cell again to go on")
            raise
        except BaseException:
            display.end("ended by an error; what was trained is kept")
            raise
        display.end("")

    def finish(self, results: Results, record: StudyRecord, catalog: Catalog, *, can_write: bool) -> Path | None:
        """Write the report, call ``lab_study_finished``, and return the report's path; None without a report."""
        from lab.report.section import sections_of
        from lab.study.execute import finish
        from lab.study.record import among_others

        finish(results, catalog, among_others(record) if can_write else None, sections_of(results, catalog))
        report = record.folder / "report.html"
        return report if can_write and report.is_file() else None


class NotebookDisplay(Display):
    """Live table of arms × seeds in one output of a cell.

    Args:
        output: where to show it.
        plan: the plan that is executed.
    """

    def __init__(self, output: Output, plan: Plan) -> None:
        super().__init__(_console(), plan.runs, compare=plan.study.compare, found=plan.found)
        self._output = output
        self._notes = _plan_notes(plan)
        self._end: str | None = None
        self._show()

    def end(self, text: str) -> None:
        """Show the last state, with a text that says how it ended."""
        self._end = text
        self._show()

    def run_started(self, run: Run) -> None:
        """Mark the run as started."""
        super().run_started(run)
        self._show()

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        """Update the cell of the run, a few times a second at most."""
        super().run_advanced(run, progress)
        if self._output.is_due:
            self._show()

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Show the score or the failure of the run."""
        super().run_finished(run, record)
        self._show()

    def _say(self, line: str) -> None:
        """Print nothing: lines on stderr are red in a notebook."""

    def _show(self) -> None:
        self._output.show(self._html(), self._text())

    def _state(self) -> str:
        trained, found = len(self.ended & self._to_do), len(self._cells.keys() - self._to_do)
        counts = f"{len(self._to_do)} runs to do, {found} found"
        if self._end is None:
            return f"{counts} · {self._done:.0%} · {self._times()}"
        return f"{trained} runs trained, {found} found{f' · {self._end}' if self._end else ''}"

    def _html(self) -> str:
        parts = (
            [self._html_table()] if len(self._arms) <= MAX_ARMS_SHOWN and len(self._seeds) <= MAX_SEEDS_SHOWN else []
        )
        state = html.escape(self._state()) if self._end is not None else bar(self._done, self._state())
        parts.append(f'<div style="margin:.3em 0">{state}</div>')
        if self._notes:
            parts.append(f'<div style="opacity:.75;font-size:90%">{"<br>".join(map(html.escape, self._notes))}</div>')
        return "\n".join(parts)

    def _html_table(self) -> str:
        keys = {(run.arm, run.seed): run.key for run in self.runs}
        head = _row(["arm", *(f"seed {seed}" for seed in self._seeds)], tag="th")
        rows = []
        for arm in self._arms:
            cells = [f'<td style="{CELL.format("left")}">{html.escape(arm)}</td>']
            cells += [self._html_cell(keys.get((arm, seed), "")) for seed in self._seeds]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        return f"<table>{head}{''.join(rows)}</table>"

    def _html_cell(self, key: str) -> str:
        text = Text.from_markup(self._cells.get(key, "·")).plain if key else ""
        style = CELL.format("left")
        share = self._share.get(key, 0.0)
        if text.startswith("✗"):
            style += ";color:#d9534f"
        elif key in self._to_do and 0 < share < 1:
            # a bar behind the text: no widgets, and it survives in a saved notebook
            style += f";background:linear-gradient(to right, rgba(76,146,217,.35) {share:.0%}, transparent {share:.0%})"
        return f'<td style="{style}">{html.escape(text)}</td>'

    def _text(self) -> str:
        console = _console()
        if len(self._arms) <= MAX_ARMS_SHOWN and len(self._seeds) <= MAX_SEEDS_SHOWN:
            console.print(self._table())
        return "\n".join([_printed(console), self._state(), *self._notes]).lstrip("\n")


def _plan_notes(plan: Plan) -> list[str]:
    """Return what ``lab run`` prints below its plan and a reader must know: sizes of splits, notes of data and arms."""
    noted = notes_of_plan(plan)
    lines = [f"examples: {line}" for line in noted.size_lines()]
    lines += [f"data: {note}" for note in noted.data_lines()]
    return lines + [f"note: {line}" for line in noted.arm_lines()]


# --- results ----------------------------------------------------------------------------------------------------------


def results_text(results: Results) -> str:
    """Return the answer of a study as a terminal of 100 columns shows it."""
    console = _console()
    print_results(results, [], console)
    report = [] if results.report is None else [f"report: {_place(results.report)}"]
    return "\n".join([_printed(console), *report])


def results_html(results: Results) -> str:
    """Return the answer of a study for a notebook: table, what a reader must know of it, pictures, the report."""
    rows = results.leading_rows(results.compare())
    effects = results.effects()
    parts = [_comparison(rows, results.study.compare)]
    parts.append(_small(lines_below(results, rows)))
    if effects:
        parts += [_effects(effects, results.study.compare), _small(lines_below(results, rows, effects))]
    pictures = [_differences(results, rows), _curves(results, rows)]
    parts += [_image(figure, text) for figure, text in pictures if figure is not None]
    if results.report is not None:
        parts.append(_link(results.report))
    return "\n".join(parts)


def _comparison(rows: Sequence[ArmRow], compare: str) -> str:
    # tuned arms and those of further datasets have bases of their own, which the table must name
    has_bases = len({row.base for row in rows if row.base}) > 1
    lines = [_row(["arm", *(["compared with"] if has_bases else []), "n", compare, "Δ [95 %]", "verdict"], tag="th")]
    for row in rows:
        found = row.comparison
        verdict = "the base" if found is None else short_verdict(found)
        cells = [row.count, score_cell(row, compare), difference_cells(found)[0], verdict]
        lines.append(_row([row.name, *([row.base] if has_bases else []), *cells], found))
    return f"<table>{''.join(lines)}</table>"


def _effects(effects: Sequence[Effect], compare: str) -> str:
    lines = [_row(["effect", "n", f"Δ {compare} [95 %]", "verdict"], tag="th")]
    lines += [
        _row([effect.name, str(effect.n), effect_cells(effect)[0], short_verdict(effect)], effect) for effect in effects
    ]
    return f"<table>{''.join(lines)}</table>"


def _row(cells: Sequence[str], found: ArmComparison | Effect | None = None, *, tag: str = "td") -> str:
    """Return a row of a table: names and verdicts to the left, numbers to the right, a verdict in its color."""
    color = VERDICTS[found.is_better] if isinstance(found, ArmComparison) else None
    styles = [CELL.format("left" if n in (0, len(cells) - 1) or tag == "th" else "right") for n in range(len(cells))]
    if color not in (None, GRAY):
        styles[-1] += f";color:{color};font-weight:bold"
    shown = [f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for style, cell in zip(styles, cells, strict=True)]
    return f"<tr>{''.join(shown)}</tr>"


def _small(lines: Sequence[str]) -> str:
    shown = "<br>".join(map(html.escape, lines))
    return f'<div style="opacity:.75;font-size:90%;max-width:60em;margin:.3em 0">{shown}</div>' if lines else ""


def _link(report: Path) -> str:
    """Return a link to the report, relative to the notebook, and its path: not every front end opens files."""
    place = _place(report)
    shown = f"<code>{html.escape(place)}</code>"
    if "google.colab" in sys.modules:
        # its pages come from another server, where the link would lead nowhere
        return f"<div>report: {shown} (in the pane of files on the left)</div>"
    return f'<div>report: <a href="{html.escape(quote(place))}" target="_blank">{shown}</a></div>'


def _place(file: Path) -> str:
    try:
        return Path(os.path.relpath(file)).as_posix()
    except ValueError:
        # another drive of Windows
        return file.as_posix()


# --- pictures ---------------------------------------------------------------------------------------------------------


def _differences(results: Results, rows: Sequence[ArmRow]) -> tuple[Figure | None, str]:
    """Return the differences from the base with their intervals; None where nothing has an interval."""
    found = [row.comparison for row in rows if row.comparison is not None][:MAX_PICTURED]
    if not has_intervals(found):
        return None, ""
    shown = [each for each in found if math.isfinite(each.low) and math.isfinite(each.high)]
    figure, axes = _axes(0.9 + 0.3 * len(shown))
    axes.axvline(0, color=GRAY, linewidth=1)
    for place, each in enumerate(reversed(shown)):
        color = VERDICTS[each.is_better]
        axes.plot([each.low, each.high], [place, place], color=color, linewidth=2)
        axes.plot([each.difference], [place], "o", color=color)
    axes.set_yticks(range(len(shown)), [each.arm for each in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    better = results.better_direction(results.study.compare)
    axes.set_xlabel(f"difference in {results.study.compare} from the base ({better} is better)", color=GRAY)
    return figure, "differences of the arms from the base, with their intervals"


def _curves(results: Results, rows: Sequence[ArmRow]) -> tuple[Figure | None, str]:
    """Return the primary metric over epochs: a thin line per run, a thick one per arm; None without epochs."""
    compare = results.study.compare
    arms = [row.name for row in rows][: len(COLORS)]
    histories: dict[str, list[list[float]]] = {}
    for run in results.runs:
        try:
            values = [row[compare] for row in run.history() if compare in row]
        except StoreError:
            continue
        if run.status == "finished" and run.arm in arms and values:
            histories.setdefault(run.arm, []).append(values)
    if max((len(curve) for curves in histories.values() for curve in curves), default=0) < 2:
        return None, ""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _axes(2.8)
    for color, arm in zip(COLORS, arms, strict=False):
        curves = histories.get(arm, [])
        for curve in curves:
            axes.plot(range(1, len(curve) + 1), curve, color=color, linewidth=0.7, alpha=0.5)
        if curves:
            # the mean over the epochs that every seed has
            mean = [sum(values) / len(values) for values in zip(*curves, strict=False)]
            axes.plot(range(1, len(mean) + 1), mean, color=color, linewidth=2, label=arm)
    axes.set_xlabel("epoch", color=GRAY)
    axes.set_ylabel(compare, color=GRAY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, labelcolor=GRAY, fontsize=9)
    return figure, f"{compare} over epochs, by arm"


def _axes(height: float) -> tuple[Figure, Axes]:
    # Figure, not pyplot: no global state, no window
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=GRAY)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRAY)
    return figure, axes


def _image(figure: Any, text: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{content}">'


# --- text -------------------------------------------------------------------------------------------------------------


def _console() -> Console:
    # in a notebook, rich would show what is printed as an output of its own, whatever the file
    return Console(file=io.StringIO(), width=TEXT_WIDTH, color_system=None, force_jupyter=False)


def _printed(console: Console) -> str:
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.rstrip("\n").splitlines())
