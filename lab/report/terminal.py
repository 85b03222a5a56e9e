"""Report in a terminal: plan and tables."""

from __future__ import annotations

import io
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from lab.report.cells import (
    EFFECTS_NOTE,
    NO_INTERVALS,
    against,
    budget_cells,
    budget_names,
    describe_search,
    difference_cells,
    effect_cells,
    has_intervals,
    has_sign_flip,
    is_judged,
    note_of_tests,
    pairing,
    percent,
    score_cell,
    search_note,
    short_verdict,
    shortened,
)
from lab.report.live import describe_seconds
from lab.report.section import Section, sections_of
from lab.study.compare import ArmComparison, Effect
from lab.study.experiment import describe_value
from lab.study.folds import describe_replication
from lab.study.notes import notes_of_plan
from lab.study.preflight import Plan
from lab.study.results import ArmRow, Results
from lab.study.study import Arm

__all__ = ["lines_below", "print_plan", "print_results", "sections_of"]

MAX_ARMS_SHOWN = 200
MAX_NAMES = 20


def print_plan(plan: Plan, console: Console, numbers: Mapping[str, int] | None = None) -> None:
    """Print the plan of a study, and how its arms differ from the base.

    Args:
        plan: the plan.
        console: where to print it.
        numbers: arm → its number for ``--arms``; shown if a name contains a comma.
    """
    numbers = numbers if numbers and any("," in name for name in numbers) else {}
    counts = Counter(run.arm for run in plan.runs)
    finished = plan.found | plan.completed
    found = Counter(run.arm for run in plan.runs if run.key in finished)
    if plan.study.question:
        console.print(escape(plan.study.question.strip()), style="bold")
    table = Table(title=f"plan of {escape(plan.study.name)}", title_justify="left")
    if numbers:
        table.add_column("number", justify="right")
    for name in ("arm", "differs from the base in", "runs", "found", "parameters"):
        table.add_column(name, justify="right" if name in ("runs", "found", "parameters") else "left")
    arms = _arms_to_show(plan)
    for arm in arms[:MAX_ARMS_SHOWN]:
        check = plan.checks.get(arm.name)
        changes = [
            f"{path}: {describe_value(old)} → {describe_value(new)}" for path, (old, new) in arm.difference.items()
        ]
        table.add_row(
            *([str(numbers.get(arm.name, ""))] if numbers else []),
            escape(arm.name),
            escape("\n".join(changes)),
            str(counts[arm.name]),
            str(found[arm.name]),
            f"{check.parameters:,}" if check else "",
        )
    _print_table(table, console)
    if len(arms) > MAX_ARMS_SHOWN:
        console.print(f"and {len(arms) - MAX_ARMS_SHOWN:,} more arms")
    if plan.study.folds is not None:
        folds, replication = plan.study.folds, describe_replication(plan.study.rules, plan.study.seed_list)
        console.print(
            f"replication: {replication}; the run with seed s has fold s % {folds} of repetition s // {folds}",
            highlight=False,
        )
    noted = notes_of_plan(plan)
    for line in noted.size_lines():
        console.print(f"examples: {escape(line)}", highlight=False)
    for note in noted.data_lines():
        console.print(f"data: {escape(note)}", highlight=False)
    for line in noted.arm_lines():
        console.print(f"note: {escape(line)}", highlight=False)
    unpaired = [name for name, check in plan.checks.items() if not check.is_paired]
    if unpaired:
        console.print(
            f"initial weights are not paired by part (all drawn from the stream `init`): {escape(_few(unpaired))}"
        )
    # values of two loss functions are on different scales, so no arm is better by them
    if plan.study.compare.endswith("_loss") and any(
        path.startswith("loss") for a in plan.arms for path in a.difference
    ):
        console.print(
            f"note: arms differ in their loss, so {plan.study.compare} does not compare them; choose a metric"
        )
    if plan.study.searching is not None:
        console.print(describe_search(plan.study.searching), highlight=False)
    if any(arm.experiment.task is not None for arm in plan.arms):
        console.print("note: runs of a training function are paired by their seed alone")
    if plan.completed:
        console.print(
            f"finished runs that get a metric or observer of this study from what they stored: {len(plan.completed)}",
            highlight=False,
        )
    if not plan.to_train:
        console.print(f"nothing to train, {len(finished)} found", highlight=False)
    else:
        # nothing is known of the cost of a function before it is called
        known = all(run.arm in plan.checks for run in plan.to_train)
        cost = (
            f"; about {describe_seconds(estimated_seconds(plan))} and {estimated_bytes(plan) / 2**20:,.0f} MiB of disk"
        )
        console.print(f"{len(plan.to_train)} runs to do, {len(finished)} found{cost if known else ''}", highlight=False)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _arms_to_show(plan: Plan) -> Sequence[Arm]:
    """Return all arms, or for a search the base and the trials of this round."""
    if plan.study.searching is None:
        return plan.arms
    waiting = {run.arm for run in plan.to_do}
    return [arm for arm in plan.arms if arm.trial is None or arm.name in waiting]


def estimated_bytes(plan: Plan) -> float:
    """Return an estimate of the disk space of the runs to do: the weights of the last and of the best epoch."""
    # two files of float32 weights per run; checkpoints are removed at the end
    return math.fsum(2 * 4 * plan.checks[run.arm].parameters for run in plan.to_train if run.arm in plan.checks)


def estimated_seconds(plan: Plan) -> float:
    """Return an estimate of the training time of the runs to do, from one step of each arm."""
    return math.fsum(
        plan.checks[run.arm].seconds_per_step
        * math.ceil(len(run.data.train) / run.experiment.values["batch_size"])
        * run.experiment.values["epochs"]
        for run in plan.to_train
        if run.arm in plan.checks
    )


def lines_below(results: Results, rows: Sequence[ArmRow], effects: Sequence[Effect] = ()) -> list[str]:
    """Return what a reader must know of the narrow table of arms or, if effects are given, of that of effects."""
    # no width at which a line would be broken
    console = Console(file=io.StringIO(), width=100_000, color_system=None, force_jupyter=False)
    if effects:
        console.print(_effects_legend(effects, results.study.compare, wide=False), markup=False)
        _print_sentences([(effect.name, effect) for effect in effects], console)
    else:
        _print_notes(results, rows, console, wide=False)
        _print_caveats(results, rows, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def print_results(results: Results, sections: Sequence[Section], console: Console, *, wide: bool = False) -> None:
    """Print a finished study: its answer in one table that fits the terminal, and what a reader must know of it.

    Args:
        results: the study's.
        sections: what plugins add.
        console: where to print.
        wide: also print the other metrics, the whole verdicts, the statistics behind them, and the budget.
    """
    rows = results.leading_rows(results.compare())
    compare = results.study.compare
    if wide:
        metrics = [name for name in results.metric_names if is_judged(name) or name == compare]
        _print_table(_wide_comparison(rows, metrics, compare), console)
    else:
        console.print(_narrow_comparison(rows, compare, console.width), crop=False)
    _print_notes(results, rows, console, wide=wide)
    _print_caveats(results, rows, console)
    effects = results.effects()
    if effects:
        if wide:
            _print_table(_wide_effects(effects, compare), console)
        else:
            console.print(_narrow_effects(effects, compare, console.width), crop=False)
        console.print(_effects_legend(effects, compare, wide=wide), style="dim", markup=False, highlight=False)
        if not wide:
            _print_sentences([(effect.name, effect) for effect in effects], console)
    if wide:
        _print_table(_budget_table(rows), console)
        console.print(BUDGET_NOTE, style="dim", highlight=False)
    for note in results.budget_notes():
        console.print(f"note: {escape(note)}", highlight=False)
    for run in results.failed:
        error = run.result.get("error", "")
        console.print(f"[bold]{run.outcome}[/bold]: {escape(run.arm)} · seed {run.seed} ({run.key})\n  {escape(error)}")
    for section in sections:
        if not section.text:
            continue
        console.rule(escape(section.title), align="left")
        console.print(escape(section.text), highlight=False)


def _print_table(table: Table, console: Console) -> None:
    """Print a table in full: long words are folded, and a terminal too narrow for that wraps its lines."""
    for column in table.columns:
        # rich's default, "ellipsis", cuts off the ends of numbers
        column.overflow = "fold"
    if console.width < MIN_COLUMN * len(table.columns):
        # rich would give columns a width of zero
        table.width = MIN_COLUMN * len(table.columns)
    console.print(table, crop=False)


def _wide_comparison(rows: Sequence[ArmRow], metrics: Sequence[str], compare: str) -> Table:
    table = Table(title="arms", title_justify="left")
    table.add_column("arm")
    table.add_column("n", justify="right")
    for name in metrics:
        table.add_column(name, justify="right")
    table.add_column(f"Δ {compare} [95 %]", justify="right")
    table.add_column("p (Šidák)", justify="right")
    table.add_column("verdict")
    for row in rows:
        cells = (*(score_cell(row, name) for name in metrics), *difference_cells(row.comparison))
        table.add_row(escape(row.name), row.count, *map(escape, cells))
    return table


def _narrow_comparison(rows: Sequence[ArmRow], compare: str, width: int) -> Table:
    cells = [
        (
            row.count,
            score_cell(row, compare),
            difference_cells(row.comparison)[0],
            "the base" if row.comparison is None else short_verdict(row.comparison),
        )
        for row in rows
    ]
    return _narrow("arm", [row.name for row in rows], ("n", compare, "Δ [95 %]", "verdict"), cells, width)


def _narrow_effects(effects: Sequence[Effect], compare: str, width: int) -> Table:
    cells = [(str(effect.n), effect_cells(effect)[0], short_verdict(effect)) for effect in effects]
    heads = ("n", f"Δ {compare} [95 %]", "verdict")
    return _narrow("effect", [effect.name for effect in effects], heads, cells, width)


def _narrow(
    first: str, names: Sequence[str], heads: Sequence[str], cells: Sequence[tuple[str, ...]], width: int
) -> Table:
    """Return a table without vertical lines whose names are cut in the middle where it would be too wide.

    Names that would look alike then are folded instead; numbers never are.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    # the head of a column is wrapped where the numbers below it need the width
    longest = max(map(len, [first, *names]))
    word = max(len(word) for head in heads for word in head.split())
    for most in (max(map(len, heads)), max(MIN_HEAD, word)):
        widths = [max([min(len(head), most), *(len(row[i]) for row in cells)]) for i, head in enumerate(heads)]
        left = width - sum(widths) - GAP * len(widths)
        if left >= longest:
            break
    shown = shortened(names, max(left, MIN_NAME))
    # a verdict is wrapped rather than a name cut so far that it looks like another
    widths[-1] = max(min(widths[-1], widths[-1] + left - max(map(len, shown), default=0)), MIN_VERDICT)
    left = max(width - sum(widths) - GAP * len(widths), MIN_NAME)
    needed = max(map(len, [first, *shown]))
    if needed > left:
        shown, needed = list(names), left
    table.add_column(first, overflow="fold", width=needed)
    # wider than the terminal, whose lines are wrapped, rather than a number in two pieces
    table.width = max(width, needed + sum(widths) + GAP * len(widths)) if needed == left else None
    for head, found in zip(heads, widths, strict=True):
        justify: JustifyMethod = "left" if head == "verdict" else "right"
        table.add_column(head, justify=justify, overflow="fold", width=found)
    for name, row in zip(shown, cells, strict=True):
        table.add_row(escape(name), *map(escape, row))
    return table


GAP = 2
"""Width between two columns."""
MIN_VERDICT = 13
"""Width of a verdict that is wrapped, where the names of arms take its place."""
MIN_HEAD = 12
"""Width that the head of a column may claim."""
MIN_NAME = 12
"""Width that is left to the names of arms, however narrow the terminal is."""
MIN_COLUMN = 9
"""Smallest width of a column with borders at which folded cells are readable."""

BUDGET_NOTE = "budget: means over the runs that finished"

MIN_EXAGGERATION = 1.25
"""Expected exaggeration of a verdict from which it is told below a narrow table."""

DETECTABLE = ", difference shown with 80 % probability {:.2g}"
CORRELATION = ", correlation of pairs {:.2f}"
EXAGGERATION = "; if the true difference is half of this one, verdicts from {} {}s show it {:.1f} × too large"


def _wide_effects(effects: Sequence[Effect], compare: str) -> Table:
    table = Table(title="main effects and interactions", title_justify="left")
    table.add_column("effect")
    for name in ("n", f"Δ {compare} [95 %]", "p (Šidák)"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for effect in effects:
        table.add_row(escape(effect.name), str(effect.n), *map(escape, effect_cells(effect)))
    return table


def _print_notes(results: Results, rows: Sequence[ArmRow], console: Console, *, wide: bool) -> None:
    compared = [row.comparison for row in rows if row.comparison is not None and has_sign_flip(row.comparison)]
    console.print(escape(_legend(results, rows, wide=wide)), style="dim", highlight=False)
    if not wide:
        _print_sentences([(row.name, row.comparison) for row in rows if row.comparison is not None], console)
        return
    for comparison in compared:
        console.print(
            f"{escape(comparison.arm)}: better in {percent(comparison.improvement)} of {comparison.unit}s, "
            f"sign-flip p {comparison.p_sign_flip:.2g}"
            + ("" if math.isnan(comparison.detectable) else DETECTABLE.format(comparison.detectable))
            + ("" if math.isnan(comparison.correlation) else CORRELATION.format(comparison.correlation))
            + (
                ""
                if math.isnan(comparison.exaggeration)
                else EXAGGERATION.format(comparison.n, comparison.unit, comparison.exaggeration)
            ),
            style="dim",
            highlight=False,
        )


def _print_caveats(results: Results, rows: Sequence[ArmRow], console: Console) -> None:
    for caveat in results.caveats(rows):
        console.print(f"note: {escape(caveat)}", highlight=False)
    if results.study.searching is not None:
        console.print(f"note: {search_note(results)}", highlight=False)


def _legend(results: Results, rows: Sequence[ArmRow], *, wide: bool) -> str:
    """Return what the columns of a comparison are; of those that have nothing in them, why."""
    found = [row.comparison for row in rows if row.comparison is not None]
    compare = results.study.compare
    has_others = wide and any(is_judged(name) and name != compare for name in results.metric_names)
    better = f"{results.better_direction(compare)} is better{f' in {compare}' if has_others else ''}"
    what = f"{compare}{' and other metrics' if has_others else ''}"
    each = f"{results.unit}s"
    parts = [f"n: {each}. {what}: mean ± standard deviation over {each}; {better}."]
    if not found:
        return parts[0]
    what = f"Δ: mean difference from {against(rows, 'the base')}, {pairing(found)}"
    if has_intervals(found):
        parts.append(
            f"{what}, and the range in which the true one lies (95 %, all rows together); {_needed(results.margin)}."
        )
    else:
        parts.append(f"{what}; {NO_INTERVALS}.")
    if wide:
        parts.append(f"p: {note_of_tests(found)}.")
    return " ".join(parts)


def _effects_legend(effects: Sequence[Effect], compare: str, *, wide: bool) -> str:
    """Return what the columns of a table of effects are."""
    parts = [EFFECTS_NOTE]
    if wide:
        parts.append(f"n: {effects[0].unit}s in which every cell finished.")
    if not has_intervals(effects):
        parts.append(f"Δ: mean effect on {compare}; {NO_INTERVALS}.")
    if wide:
        parts.append(f"p: {note_of_tests(effects)}.")
    return " ".join(parts)


def _needed(margin: float) -> str:
    if not margin:
        return "a verdict needs a range without 0"
    return f"better or worse: a range without 0; equivalent: one within ± {margin:g}"


def _print_sentences(found: Sequence[tuple[str, ArmComparison | Effect]], console: Console) -> None:
    """Print the whole verdict of each of these that its table cuts short, equal ones once, and what exaggerates."""
    whole: dict[str, list[str]] = {}
    for name, comparison in found:
        # "better by 0.3 ± 0.02 (3 of 3 seeds)" says what the table says
        said, _, remarks = comparison.verdict.partition("; ")
        text = "; ".join(part for part in (said if ":" in said else "", remarks, _exaggeration(comparison)) if part)
        if text:
            whole.setdefault(text, []).append(name)
    for text, names in whole.items():
        console.print(f"{escape(_few(names))}: {escape(text)}", style="dim", highlight=False)


def _exaggeration(found: ArmComparison | Effect) -> str:
    """Return what a verdict from few seeds exaggerates, if that is worth a line."""
    if not isinstance(found, ArmComparison) or math.isnan(found.exaggeration) or found.exaggeration < MIN_EXAGGERATION:
        return ""
    verdicts = f"verdicts of {found.n} {found.unit}s are"
    return f"{found.exaggeration:.1f} × too large if the true difference is half of it ({verdicts})"


def _budget_table(rows: Sequence[ArmRow]) -> Table:
    table = Table(title="budget (means per run)", title_justify="left")
    table.add_column("arm")
    names = budget_names(rows)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(escape(row.name), *budget_cells(row, names))
    return table


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; where the output is not a terminal, as wide as ``COLUMNS`` says, or 160 columns."""
    console = Console(stderr=stderr)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(stderr=stderr, width=160)
