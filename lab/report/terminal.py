"""Report in a terminal: plan and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.report.cells import (
    EFFECTS_NOTE,
    budget_cells,
    budget_names,
    describe_search,
    difference_cells,
    effect_cells,
    is_judged,
    percent,
    score_cell,
    search_note,
)
from lab.report.live import describe_seconds
from lab.report.section import Section, sections_of
from lab.study.compare import Effect
from lab.study.experiment import describe_value
from lab.study.preflight import Plan
from lab.study.results import ArmRow, Results
from lab.study.study import Arm

__all__ = ["print_plan", "print_results", "sections_of"]

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
    found = Counter(run.arm for run in plan.runs if run.key in plan.found)
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
    # each note once: all seeds and most arms share their data
    for note in dict.fromkeys(note for run in plan.runs for note in run.data.notes):
        console.print(f"data: {escape(note)}", highlight=False)
    for note, noted in notes_of(plan).items():
        prefix = "" if len(noted) == len(plan.checks) else f"{', '.join(noted)}: "
        console.print(f"note: {escape(prefix + note)}", highlight=False)
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
    if plan.to_do:
        # nothing is known of the cost of a function before it is called
        known = all(run.arm in plan.checks for run in plan.to_do)
        cost = (
            f"; about {describe_seconds(estimated_seconds(plan))} and {estimated_bytes(plan) / 2**20:,.0f} MiB of disk"
        )
        console.print(f"{len(plan.to_do)} runs to do, {len(plan.found)} found{cost if known else ''}", highlight=False)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def notes_of(plan: Plan) -> dict[str, list[str]]:
    """Return the notes of the rehearsals, each with its arms."""
    found: dict[str, list[str]] = {}
    for name, check in plan.checks.items():
        for note in check.notes:
            found.setdefault(note, []).append(name)
    return found


def _arms_to_show(plan: Plan) -> Sequence[Arm]:
    """Return all arms, or for a search the base and the trials of this round."""
    if plan.study.searching is None:
        return plan.arms
    waiting = {run.arm for run in plan.to_do}
    return [arm for arm in plan.arms if arm.trial is None or arm.name in waiting]


def estimated_bytes(plan: Plan) -> float:
    """Return an estimate of the disk space of the runs to do: the weights of the last and of the best epoch."""
    # two files of float32 weights per run; checkpoints are removed at the end
    return math.fsum(2 * 4 * plan.checks[run.arm].parameters for run in plan.to_do if run.arm in plan.checks)


def estimated_seconds(plan: Plan) -> float:
    """Return an estimate of the training time of the runs to do, from one step of each arm."""
    return math.fsum(
        plan.checks[run.arm].seconds_per_step
        * math.ceil(len(run.data.train) / run.experiment.values["batch_size"])
        * run.experiment.values["epochs"]
        for run in plan.to_do
        if run.arm in plan.checks
    )


def print_results(results: Results, sections: Sequence[Section], console: Console) -> None:
    """Print the tables of a finished study: comparison, budget, failures and the sections of plugins."""
    rows = results.leading_rows(results.compare())
    metrics = [name for name in results.metric_names if is_judged(name) or name == results.study.compare]
    _print_table(_comparison_table(rows, metrics, results.study.compare), console)
    _print_notes(results, rows, console)
    for caveat in results.caveats(rows):
        console.print(f"note: {escape(caveat)}", highlight=False)
    if results.study.searching is not None:
        console.print(f"note: {search_note(results)}", highlight=False)
    effects = results.effects()
    if effects:
        _print_table(_effects_table(effects, results.study.compare), console)
        console.print(EFFECTS_NOTE, style="dim")
    _print_table(_budget_table(rows), console)
    for note in results.budget_notes():
        console.print(f"note: {escape(note)}")
    for run in results.failed:
        error = run.result.get("error", "")
        console.print(f"[bold]{run.outcome}[/bold]: {escape(run.arm)} · seed {run.seed} ({run.key})\n  {escape(error)}")
    for section in sections:
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


def _comparison_table(rows: Sequence[ArmRow], metrics: Sequence[str], compare: str) -> Table:
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


MIN_COLUMN = 9
"""Smallest width of a column with borders at which folded cells are readable."""

DETECTABLE = ", difference shown with 80 % probability {:.2g}"
CORRELATION = ", correlation of pairs {:.2f}"
EXAGGERATION = "; if the true difference is half of this one, verdicts from {} seeds show it {:.1f} × too large"


def _effects_table(effects: Sequence[Effect], compare: str) -> Table:
    table = Table(title="main effects and interactions", title_justify="left")
    table.add_column("effect")
    for name in ("n", f"Δ {compare} [95 %]", "p (Šidák)"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for effect in effects:
        table.add_row(escape(effect.name), str(effect.n), *map(escape, effect_cells(effect)))
    return table


def _print_notes(results: Results, rows: Sequence[ArmRow], console: Console) -> None:
    compared = [
        row.comparison for row in rows if row.comparison is not None and not math.isnan(row.comparison.p_sign_flip)
    ]
    compared = [comparison for comparison in compared if comparison.n > 1]
    console.print(
        "± is the standard deviation over seeds; Δ is paired by seed, with intervals that hold together in 95 %; "
        f"{results.study.compare}: "
        f"{'higher' if results.is_higher_better(results.study.compare) else 'lower'} is better",
        style="dim",
    )
    for comparison in compared:
        console.print(
            f"{escape(comparison.arm)}: better in {percent(comparison.improvement)} of seeds, "
            f"sign-flip p {comparison.p_sign_flip:.2g}"
            + ("" if math.isnan(comparison.detectable) else DETECTABLE.format(comparison.detectable))
            + ("" if math.isnan(comparison.correlation) else CORRELATION.format(comparison.correlation))
            + (
                ""
                if math.isnan(comparison.exaggeration)
                else EXAGGERATION.format(comparison.n, comparison.exaggeration)
            ),
            style="dim",
            highlight=False,
        )


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
    """Return a console; 160 columns wide if the output is not a terminal."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)
