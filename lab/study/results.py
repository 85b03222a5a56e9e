"""Results: the runs of a study and how its arms compare."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from lab.errors import UnknownNameError
from lab.registry.registry import close_matches
from lab.study.compare import ArmComparison, Effect, Summary, compare_arms, compare_steps, factorial_effects, summarise
from lab.study.store import RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from lab.study.study import Study

__all__ = ["ArmRow", "FinishedRun", "Planned", "Results"]

LEADING = 10
"""So many trials of a search are shown at most; all are in ``runs.csv``."""


class Planned(Protocol):
    """What results need to know of a study: its plan, or the record of one that was run before."""

    @property
    def study(self) -> Study:
        """The study."""

    @property
    def arms(self) -> Sequence[Any]:
        """Its arms, each with a ``name``, its ``factors`` and its ``trial``, the base first."""


@attrs.frozen(eq=False)
class FinishedRun:
    """One run of a study, as reports see it."""

    arm: str
    seed: int
    record: RunRecord

    @property
    def key(self) -> str:
        """The run's key."""
        return self.record.key

    @property
    def status(self) -> str:
        """``finished``, ``failed``, ``interrupted``, ``damaged`` or ``absent``."""
        return self.record.status

    @property
    def metrics(self) -> dict[str, float]:
        """Its final figures."""
        return self.record.metrics

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.record.folder

    def row(self) -> dict[str, Any]:
        """One row of ``runs.csv``."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "key": self.key,
            "status": self.status,
            **self.metrics,
            **self.record.budget,
        }


@attrs.frozen
class ArmRow:
    """One arm of a table: every figure over its finished runs, and its difference from the base or the arm before."""

    name: str
    figures: Mapping[str, Summary]
    failed: int
    comparison: ArmComparison | None


class Results:
    """The runs of a study.

    Args:
        plan: what was to be done.
        runs: every run, in the order of the plan.
    """

    def __init__(self, plan: Planned, runs: Sequence[FinishedRun]) -> None:
        self.plan, self.study, self.runs = plan, plan.study, list(runs)
        self._of_arm: dict[str, list[FinishedRun]] = {}
        for run in self.runs:
            self._of_arm.setdefault(run.arm, []).append(run)

    @property
    def failed(self) -> list[FinishedRun]:
        """The runs that did not finish."""
        return [run for run in self.runs if run.status != "finished"]

    @property
    def damaged(self) -> list[FinishedRun]:
        """The runs that are left out since their files are not as they were written."""
        return [run for run in self.runs if run.status == "damaged"]

    def figures(self, arm: str, name: str) -> dict[int, float]:
        """Seed → figure, over the finished runs of an arm; metrics and budget alike."""
        rows = {run.seed: run.row() for run in self._of_arm.get(arm, []) if run.status == "finished"}
        return {seed: float(row[name]) for seed, row in rows.items() if name in row}

    @property
    def metric_names(self) -> list[str]:
        """Every figure that a finished run has, the deciding one first."""
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        return sorted(names, key=lambda name: name != self.study.compare)

    def compare(self, metric: str = "", *, stepwise: bool = False) -> list[ArmRow]:
        """Every arm, the base first, with its difference from the base in ``metric`` (the study's own by default).

        Args:
            metric: a figure that runs have.
            stepwise: take the difference from the arm before instead, as the arms of a ladder ask for.

        Raises:
            UnknownNameError: no run has such a figure.
        """
        metric = self._known(metric)
        figures = {arm.name: self.figures(arm.name, metric) for arm in self.plan.arms}
        base, *others = figures
        is_higher_better = self.is_higher_better(metric)
        if stepwise:
            found = compare_steps(figures, higher_is_better=is_higher_better)
        else:
            found = compare_arms(
                figures[base], {name: figures[name] for name in others}, higher_is_better=is_higher_better
            )
        comparisons = {comparison.arm: comparison for comparison in found}
        return [self._row(name, comparisons.get(name)) for name in figures]

    def judged_by(self, metric: str) -> Results:
        """The same runs, with another figure that decides.

        Raises:
            UnknownNameError: no run has such a figure.
        """
        study = attrs.evolve(self.study, compare=self._known(metric))
        return Results(_SameArms(study, self.plan.arms), self.runs)

    def leading_arms(self) -> list[str]:
        """The arms that tables and curves show: all of them, or of a search the base and the best trials."""
        names = [arm.name for arm in self.plan.arms]
        if self.study.searching is None:
            return names
        from lab.study.search import value_of

        last = len(self.study.searching.rungs)
        values = {
            arm.name: value_of(arm.name, self)
            for arm in self.plan.arms
            if arm.trial is not None and arm.trial.rung == last
        }
        finished = {name: value for name, value in values.items() if value is not None}
        plain = [arm.name for arm in self.plan.arms if arm.trial is None]
        return [*plain, *sorted(finished, key=finished.__getitem__)[:LEADING]]

    def leading_rows(self, rows: Sequence[ArmRow]) -> list[ArmRow]:
        """Of the rows that ``compare`` gave those of ``leading_arms``, in that order."""
        by_name = {row.name: row for row in rows}
        return [by_name[name] for name in self.leading_arms()]

    def effects(self, metric: str = "") -> list[Effect]:
        """Main effects and interactions of a factorial study in ``metric``; empty unless its arms are a whole grid.

        A grid of one factor has none beyond the differences that ``compare`` gives.

        Raises:
            UnknownNameError: no run has such a figure.
        """
        metric = self._known(metric)
        cells = {arm.name: arm.factors for arm in self.plan.arms}
        if not _is_whole_grid(list(cells.values())):
            return []
        figures = {name: self.figures(name, metric) for name in cells}
        return factorial_effects(cells, figures, higher_is_better=self.is_higher_better(metric))

    def _known(self, metric: str) -> str:
        """The figure asked for, the study's own unless one is named."""
        metric = metric or self.study.compare
        if self.metric_names and metric not in self.metric_names:
            close = close_matches(metric, self.metric_names)
            hint = f"did you mean: {' or '.join(close)}?\n" if close else ""
            raise UnknownNameError(f"unknown figure '{metric}'", hint=f"{hint}figures: {', '.join(self.metric_names)}")
        return metric

    def is_higher_better(self, metric: str) -> bool:
        """The direction of a figure, as its metric says."""
        plain = metric.partition("_")[2]
        directions: dict[str, bool] = {}
        for run in self.runs:
            directions |= run.record.result.get("higher_is_better", {})
        return directions.get(plain, False)

    def _row(self, name: str, comparison: ArmComparison | None) -> ArmRow:
        runs = self._of_arm.get(name, [])
        finished = [run for run in runs if run.status == "finished"]
        names = dict.fromkeys(key for run in finished for key in (*run.metrics, *run.record.budget))
        figures = {key: summarise(list(self.figures(name, key).values())) for key in names}
        return ArmRow(name, figures, len(runs) - len(finished), comparison)

    def frame(self) -> pd.DataFrame:
        """One row per run, as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([run.row() for run in self.runs])

    def _repr_html_(self) -> str:
        """The comparison, as Jupyter shows it."""
        import pandas as pd

        rows = [
            {
                "arm": row.name,
                "n": row.figures[self.study.compare].n if self.study.compare in row.figures else 0,
                self.study.compare: row.figures[self.study.compare].mean if self.study.compare in row.figures else None,
                "difference": row.comparison.difference if row.comparison else None,
                "low": row.comparison.low if row.comparison else None,
                "high": row.comparison.high if row.comparison else None,
                "verdict": row.comparison.verdict if row.comparison else "",
            }
            for row in self.compare()
        ]
        return str(pd.DataFrame(rows).to_html(index=False, na_rep="", float_format="{:.4g}".format))

    def write_csv(self, path: Path) -> None:
        """One row per run: ``arm, seed, key, status``, the metrics, the budget."""
        rows = [run.row() for run in self.runs]
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def budget_notes(self) -> list[str]:
        """Where a better arm also had more parameters or took more time, by more than a twentieth."""
        base, *others = self.leading_rows(self.compare())
        notes: list[str] = []
        for row in others:
            if row.comparison is not None and row.comparison.is_better:
                more = [
                    text
                    for key, text in (("parameters", "parameters"), ("seconds", "time"))
                    if _ratio(row, base, key) > 1.05
                ]
                shares = [
                    f"{_ratio(row, base, 'parameters' if m == 'parameters' else 'seconds'):.2f} × the {m}" for m in more
                ]
                if shares:
                    notes.append(f"{row.name} is better, and had {' and '.join(shares)}")
        return notes


@attrs.frozen
class _SameArms:
    """A plan with another study."""

    study: Study
    arms: Sequence[Any]


def _is_whole_grid(cells: Sequence[Mapping[str, str]]) -> bool:
    """Whether cells are every combination of the levels of two factors or more, each once."""
    factors = cells[0].keys() if cells else ()
    if any(cell.keys() != factors for cell in cells):
        return False
    counts = [len({cell[factor] for cell in cells}) for factor in factors]
    found = {tuple(cell[factor] for factor in factors) for cell in cells}
    return sum(count > 1 for count in counts) > 1 and len(cells) == len(found) == math.prod(counts)


def _ratio(row: ArmRow, base: ArmRow, key: str) -> float:
    if key not in row.figures or key not in base.figures or not base.figures[key].mean:
        return math.nan
    return row.figures[key].mean / base.figures[key].mean
