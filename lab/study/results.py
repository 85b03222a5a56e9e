"""Results: the runs of a study and how its arms compare."""

from __future__ import annotations

import csv
import importlib
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from lab.errors import UnknownNameError
from lab.study.compare import (
    MIN_SEEDS,
    SEED,
    ArmComparison,
    Effect,
    Looks,
    Summary,
    compare_pairs,
    factorial_effects,
    looks_of_rule,
    number_of_effects,
    skewness,
    summarize,
)
from lab.study.folds import FOLDS, folds_of
from lab.study.space import Search
from lab.study.store import RunRecord
from lab.study.study import SEEDS, Arm

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ArmRow", "Question", "Results"]

TOP_TRIALS = 10
"""Trials of a search that are shown at most; all are in ``runs.csv``."""


SPLITS = ("train", "valid", "test")

COSTS = {"parameters": False, "steps": False, "seconds": False, "peak_memory_mb": False, "examples_per_second": True}
"""Budget column → whether higher is better."""

COVERAGE_OF_SKEWED = {3: (84, 73), 5: (82, 54), 10: (84, 50)}
"""Seeds → percent of studies in which 95 % intervals of one arm, and of nine arms together, hold the true differences.

The arms are log-normal and the base has no spread, the worst case of ``python -m tests.simulation.figures``.
"""

SEEDS_TO_SEE_SKEW = 10
"""With so few seeds, a test for skewness finds less than half of the arms that have it."""

WITHOUT_VALUE = "without a value"
"""Outcome of a run of another program that has no score."""

LOST = {"failed", "diverged", WITHOUT_VALUE}

_OUTCOMES = {"absent": "not run"}


@attrs.frozen
class ArmRow:
    """One arm of a table.

    Attributes:
        name: its name.
        scores: every metric and budget over its finished runs.
        failed: runs that did not finish: failed, diverged, interrupted, not run yet.
        comparison: its difference from the base, or from the arm before; None for the first.
        planned: runs that were to be made.
        outcomes: outcome → number of runs, of those that did not finish.
        base: the arm that the difference is from; empty for the first, and for the base of another dataset.
    """

    name: str
    scores: Mapping[str, Summary]
    failed: int
    comparison: ArmComparison | None
    planned: int = 0
    outcomes: Mapping[str, int] = attrs.field(factory=dict)
    base: str = ""

    @property
    def finished(self) -> int:
        """Runs that finished."""
        return self.planned - self.failed

    @property
    def count(self) -> str:
        """Finished runs for a table: ``6``, or ``4 of 6``."""
        return f"{self.finished} of {self.planned}" if self.failed else str(self.finished)

    @property
    def losses(self) -> str:
        """Runs that did not finish, in words: ``1 diverged, 1 interrupted``."""
        return ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.items())


class Question(Protocol):
    """The part of a study that a comparison needs; results from elsewhere have no experiment."""

    @property
    def name(self) -> str:
        """Return the name of the study."""

    @property
    def compare(self) -> str:
        """Return the primary metric."""

    @property
    def seed_list(self) -> Sequence[int]:
        """Return the seeds of every arm."""

    @property
    def margin(self) -> float | None:
        """Return the smallest difference that matters, None if no difference is too small."""

    @property
    def searching(self) -> Search | None:
        """Return the search whose trials the arms are, if they are."""


class Results:
    """The runs of a study.

    Args:
        study: the study.
        arms: its arms, the base first.
        runs: every run, in the order of the plan.
        notes: further caveats, such as rows that results from elsewhere lack.
        paired: False takes the seeds of two arms for unrelated in every comparison.

    Attributes:
        report: path of the report that was written with them; None if there is none.
    """

    def __init__(
        self,
        study: Question,
        arms: Sequence[Arm],
        runs: Sequence[RunRecord],
        notes: Sequence[str] = (),
        *,
        paired: bool = True,
    ) -> None:
        self.study, self.notes, self.paired = study, list(notes), paired
        self.report: Path | None = None
        row_of = {arm.name: arm.row or arm.name for arm in arms}
        # arms that share a row are one from here on, the first of them with the runs of all
        own: dict[str, Arm] = {arm.name: arm for arm in arms if not arm.row}
        for arm in arms:
            if arm.row and arm.row not in own:
                own[arm.row] = attrs.evolve(arm, name=arm.row)
        self.arms = [own[row] for row in dict.fromkeys(row_of.values())]
        self.runs = [attrs.evolve(run, arm=row_of.get(run.arm, run.arm)) for run in runs]
        self._of_arm: dict[str, list[RunRecord]] = {}
        for run in self.runs:
            self._of_arm.setdefault(run.arm, []).append(run)

    @property
    def failed(self) -> list[RunRecord]:
        """The runs that did not finish."""
        return [run for run in self.runs if run.status != "finished"]

    @property
    def damaged(self) -> list[RunRecord]:
        """The runs that are left out since their files are not as they were written."""
        return [run for run in self.runs if run.status == "damaged"]

    def scores(self, arm: str, name: str) -> dict[int, float]:
        """Return seed → value of a metric or budget column, over the finished runs of an arm."""
        rows = {run.seed: run.row() for run in self._of_arm.get(arm, []) if run.status == "finished"}
        return {seed: float(row[name]) for seed, row in rows.items() if name in row}

    @property
    def metric_names(self) -> list[str]:
        """Every metric of finished runs, the primary one first."""
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        return sorted(names, key=lambda name: name != self.study.compare)

    def compare(self, metric: str = "", *, stepwise: bool = False, paired: bool = True) -> list[ArmRow]:
        """Return the arms, the base first, each with its difference from the base in ``metric``.

        Args:
            metric: a metric of the runs; the primary one by default.
            stepwise: take the difference from the arm before instead, as the arms of a ladder ask for.
            paired: False takes the seeds of two arms for unrelated (Welch's test).

        Raises:
            UnknownNameError: no run has such a metric.
        """
        metric = self.known_metric(metric)
        scores = {arm.name: self.scores(arm.name, metric) for arm in self.arms}
        scores = {name: values for name, values in scores.items() if name in self._judged}
        _, *others = scores
        before = dict(zip(others, scores, strict=False))
        pairs = {name: before[name] if stepwise else self.base_of(name) for name in others}
        # the base of another dataset is compared with nothing
        pairs = {name: other for name, other in pairs.items() if other != name}
        refused = {name: why for name, other in pairs.items() if (why := self._refusal(other, name, metric))}
        is_higher_better = self.is_higher_better(metric)
        margin = self.margin if metric == self.study.compare else 0.0
        # arms and effects of a grid are read side by side, so their intervals hold together
        further = number_of_effects(self._grid)
        found = compare_pairs(
            {name: (scores[other], scores[name]) for name, other in pairs.items()},
            higher_is_better=is_higher_better,
            refused=refused,
            margin=margin,
            further=further,
            looks=self._looks,
            groups={} if stepwise else pairs,
            paired=paired and self.paired,
            overlap=self.overlap,
            paired_by=self.paired_by,
        )
        comparisons = {each.arm: self._qualified(each, pairs[each.arm], metric) for each in found}
        return [self._row(name, comparisons.get(name), pairs.get(name, "")) for name in scores]

    @property
    def family(self) -> int:
        """Comparisons whose intervals hold together once all arms have runs: arms, and the effects of a grid."""
        arms = [arm.name for arm in self.arms if arm.name in self._judged and self.base_of(arm.name) != arm.name]
        return len(arms) + number_of_effects(self._grid)

    def base_of(self, arm: str) -> str:
        """Return the arm that an arm is compared with; itself if it is compared with none."""
        own = {each.name: each.base for each in self.arms if each.base}
        return own.get(arm, self.arms[0].name)

    @property
    def margin(self) -> float:
        """The smallest difference in the primary metric that matters; 0 if the study names none."""
        return self.study.margin or 0.0

    @property
    def _judged(self) -> set[str]:
        """Arms that are compared: all, but for trials that only choose the settings of another arm."""
        is_search = self.study.searching is not None
        return {arm.name for arm in self.arms if is_search or arm.trial is None or arm.trial.rung > 0}

    @property
    def _looks(self) -> Looks:
        """Levels by which a study that looks at its results repeatedly corrects for that."""
        return looks_of_rule(getattr(self.study, "rules", {}).get(SEEDS, {}))

    @property
    def _retrains_best(self) -> bool:
        """True for a search that trains its best trial again, which alone is compared."""
        return self.study.searching is not None and "retrain" in getattr(self.study, "rules", {})

    @property
    def overlap(self) -> float:
        """Validation examples per training example if every seed has a split, or a fold, of its own, else 0."""
        rules = getattr(self.study, "rules", {})
        return float((rules.get(FOLDS) or rules.get("splits") or {}).get("overlap", 0.0))

    @property
    def folds(self) -> int:
        """Number of folds of a cross-validation; 0 if the replication is by seeds alone."""
        return folds_of(getattr(self.study, "rules", {}))

    @property
    def paired_by(self) -> str:
        """The common property of two runs that form a pair: ``seed``, ``fold``, or of several repetitions both."""
        if not self.folds:
            return SEED
        repetitions = {seed // self.folds for seed in self.study.seed_list}
        return "fold" if len(repetitions) < 2 else "seed and fold"

    @property
    def unit(self) -> str:
        """What the runs of an arm are counted in: ``seed`` or ``fold``."""
        return "fold" if self.folds else SEED

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run: ``arm, seed, key, status``, the metrics, the budget; with folds, also which one."""
        rows = [run.row() for run in self.runs]
        if not self.folds:
            return rows
        # beside the seed, which they are read off
        return [
            {"arm": row["arm"], "seed": row["seed"], "fold": row["seed"] % self.folds}
            | {"repetition": row["seed"] // self.folds}
            | row
            for row in rows
        ]

    @property
    def _grid(self) -> dict[str, Mapping[str, str]]:
        """Arm → factor → level if the arms are all cells of a grid of two factors or more; else empty."""
        # tuned or matched forms of the cells are further arms, not further cells
        cells = {arm.name: arm.factors for arm in self.arms if arm.trial is None}
        return cells if _is_whole_grid(list(cells.values())) else {}

    def _lost(self, arm: str) -> set[int]:
        """Return the seeds whose training failed or left no score, which may depend on how well it went."""
        return {run.seed for run in self._of_arm.get(arm, []) if run.outcome in LOST}

    def _disagreement(self, arms: Sequence[str]) -> str:
        without = any(run.outcome == WITHOUT_VALUE for arm in arms for run in self._of_arm.get(arm, []))
        return f"not the same {self.unit}s {'have a value' if without else 'failed'}"

    def _refusal(self, other: str, name: str, metric: str) -> str:
        """Return the reason why two arms cannot be compared in a metric; empty if they can."""
        if self.direction(metric) is None:
            return f"no verdict: nothing says whether higher or lower {metric} is better"
        if any(arm.name == name and arm.trial is not None for arm in self.arms) and self._retrains_best:
            return "no verdict: chosen by this score"
        split = metric.partition("_")[0]
        splits = {"valid": "validation", "test": "test"}
        if split in splits and self._yardsticks_differ([other, name], split):
            return f"not comparable: other {splits[split]} examples"
        return ""

    def _yardsticks_differ(self, arms: Sequence[str], split: str) -> bool:
        """Return whether these arms were measured on different examples; runs without a record count as equal."""
        has_splits = self.overlap > 0
        seen: dict[int, set[str]] = {}
        for run in self._finished(arms):
            if isinstance(run.yardstick.get("splits"), dict) and run.yardstick["splits"].get(split):
                # seeds with a split of their own differ among each other, and not between arms
                seen.setdefault(run.seed if has_splits else 0, set()).add(str(run.yardstick["splits"][split]))
        return any(len(fingerprints) > 1 for fingerprints in seen.values())

    def _finished(self, arms: Sequence[str]) -> list[RunRecord]:
        runs = [run for arm in arms for run in self._of_arm.get(arm, [])]
        return [run for run in runs if run.status == "finished"]

    def _qualified(self, found: ArmComparison, other: str, metric: str) -> ArmComparison:
        """Return a comparison whose verdict also states failed runs and how the epoch was selected."""
        arms = [other, found.arm]
        remarks = []
        planned = [len(self._of_arm.get(arm, [])) for arm in arms]
        if len(self._finished(arms)) < sum(planned):
            counts = [f"{len(self._finished([arm]))} of {count}" for arm, count in zip(arms, planned, strict=True)]
            both = counts[1] if counts[0] == counts[1] else f"{counts[1]} ({other}: {counts[0]})"
            # arms that leave a sequential study early have fewer seeds
            common = set.intersection(*({run.seed for run in self._of_arm.get(arm, [])} for arm in arms))
            # without common seeds any failed training leaves a selection
            lost = [self._lost(arm) & common if common else self._lost(arm) for arm in arms]
            if found.n and lost[0] != lost[1]:
                # the runs that survive are the better ones: an arm whose worst third fails would look better
                nothing = dict.fromkeys(("low", "high", "p", "p_corrected", "detectable", "exaggeration"), math.nan)
                found = attrs.evolve(
                    found,
                    **nothing,  # type: ignore[arg-type]
                    is_better=None,
                    is_equivalent=False,
                    verdict=f"no verdict: {self._disagreement(arms)} in both arms",
                )
            remarks.append(f"{both} finished; verdict on survivors only" if _has_test(found) else f"{both} finished")
        # without a test there is no verdict that a caveat could qualify
        if _has_test(found):
            if self.chosen_on_reported_split(arms, metric):
                remarks.append("best epoch chosen on the split that is reported")
            if metric.endswith("_loss") and self._depends_on_batches(arms):
                remarks.append(f"{metric} depends on how batches are cut")
        return attrs.evolve(found, verdict="; ".join([self._plain_verdict(found, other, metric), *remarks]))

    def _plain_verdict(self, found: ArmComparison, other: str, metric: str) -> str:
        """Return the verdict, or the reason why a score is undefined."""
        reasons = self.undefined([other, found.arm], metric)
        if not reasons or found.n == 0:
            return found.verdict
        return f"{metric} is undefined in some runs ({'; '.join(reasons)}): nothing can be concluded"

    def undefined(self, arms: Sequence[str], metric: str) -> list[str]:
        """Return the reasons why a metric is undefined in runs of these arms, each once."""
        found = [run.result.get("undefined") or {} for run in self._finished(arms)]
        return list(dict.fromkeys(str(each[metric]) for each in found if metric in each))

    def chosen_on_reported_split(self, arms: Sequence[str], metric: str) -> bool:
        """Return whether runs of these arms took their best epoch by a column of the split that ``metric`` is of."""
        rules = [run.yardstick.get("selection") or {} for run in self._finished(arms)]
        split = metric.partition("_")[0]
        return any(
            rule.get("rule") == "best" and str(rule.get("monitor", "")).startswith(f"{split}_") for rule in rules
        )

    def _depends_on_batches(self, arms: Sequence[str]) -> bool:
        return any(run.yardstick.get("depends_on_batches") for run in self._finished(arms))

    def unpaired(self, arms: Sequence[str]) -> list[str]:
        """Return the arms that share no part with the first one whose initial weights have a stream of their own."""
        parts = {
            arm: {part for run in self._finished([arm]) for part in run.yardstick.get("parts", [])} for arm in arms
        }
        known = [arm for arm in arms if any("parts" in run.yardstick for run in self._finished([arm]))]
        return [arm for arm in known[1:] if not parts[arm] & parts[known[0]]] if known[:1] == list(arms[:1]) else []

    def caveats(self, rows: Sequence[ArmRow], metric: str = "") -> list[str]:
        """Return the caveats of a comparison, one sentence each."""
        metric = metric or self.study.compare
        names = [row.name for row in rows]
        lost = [f"{row.name} {row.count} ({row.losses})" for row in rows if row.failed]
        reasons = {row.name: self.undefined([row.name], metric) for row in rows}
        unpaired = self.unpaired(names)
        sentences = []
        if lost:
            sentences.append(
                f"finished: {'; '.join(lost)}; means are of the runs that finished; no verdict where "
                f"other {self.unit}s failed in an arm than in the one that it is compared with"
            )
        if unpaired:
            sentences.append(
                f"initial weights are not paired with those of {names[0]}: {', '.join(unpaired)} "
                "(pairs of runs share the seed and the order of batches)"
            )
        if self.folds:
            sentences.append(
                f"every run is a fold of a cross-validation with {self.folds} folds, whose training parts share "
                "examples: intervals and tests are corrected for that (Nadeau & Bengio 2003)"
            )
        elif self.overlap:
            sentences.append(
                "every seed has a split of its own, so intervals are about the population; they are widened for the "
                "examples that splits share"
            )
        if self._looks:
            sentences.append("intervals and p-values are corrected for every look that the rule of seeds plans")
        seeds = [list(self.scores(name, metric).values()) for name in names]
        if all(len(scores) > 1 and len(set(scores)) == 1 and math.isfinite(scores[0]) for scores in seeds):
            sentences.append(f"every seed gave the same {metric}, to the last digit: does the training use its seed?")
        sentences += [f"{metric} of {arm} is undefined: {'; '.join(why)}" for arm, why in reasons.items() if why]
        if self.chosen_on_reported_split(names, metric):
            sentences.append(
                f"the best epoch was chosen on the split that {metric} is reported on, so all of its values look "
                "better than they are; Study(selection='last') or a test split avoids it"
            )
        if metric.endswith("_loss") and self._depends_on_batches(names):
            sentences.append(
                f"{metric} depends on how batches are cut: the loss is not a mean over its targets, or does not say "
                "over which (lab.mean_over); arms with another valid_batch_size have another yardstick"
            )
        return [*sentences, *self._skew_notes(rows, metric), *self.notes]

    def _skew_notes(self, rows: Sequence[ArmRow], metric: str) -> list[str]:
        """Return a warning where intervals may be too narrow: skewed scores, or too few seeds to see that."""
        tested = [row.comparison for row in rows if row.comparison is not None and _has_test(row.comparison)]
        few = min((each.n for each in tested if each.n >= MIN_SEEDS), default=0)
        if 0 < few <= SEEDS_TO_SEE_SKEW:
            one, nine = next(found for seeds, found in COVERAGE_OF_SKEWED.items() if seeds >= few)
            runs = f"{few} {self.unit}s"
            return [
                f"{runs} cannot show whether runs go badly now and then; if they do in some arms only, 95 % "
                f"intervals hold less often: of one arm in {one} %, of nine arms together in {nine} %"
            ]
        names = [row.name for row in rows if abs(skewness(list(self.scores(row.name, metric).values()))) > 1]
        return [f"{metric} is skewed in {', '.join(names)}: intervals may be too narrow"] if few and names else []

    def unrelated(self) -> Results:
        """Return the same runs with the seeds of two arms taken for unrelated, in every comparison (Welch's test)."""
        return Results(self.study, self.arms, self.runs, self.notes, paired=False)

    def judged_by(self, metric: str) -> Results:
        """Return the same runs with another primary metric.

        Raises:
            UnknownNameError: no run has such a metric.
        """
        known = self.known_metric(metric)
        return self if known == self.study.compare else self._asking(known, None)

    def _asking(self, metric: str, margin: float | None) -> Results:
        """Return the same runs with another primary metric and margin; None: no difference is too small."""
        changes: dict[str, Any] = {"compare": metric, "margin": margin}
        # the direction that a study states is that of its own metric
        if metric != self.study.compare and hasattr(self.study, "higher_is_better"):
            changes["higher_is_better"] = self.direction(metric)
        # Every question is a class of attrs, which mypy cannot know of a protocol.
        study: Question = attrs.evolve(self.study, **changes)  # type: ignore[misc]
        return Results(study, self.arms, self.runs, self.notes, paired=self.paired)

    def with_margin(self, margin: float, metric: str = "") -> Results:
        """Return the same runs with another smallest difference that matters, in ``metric``.

        Raises:
            UnknownNameError: no run has such a metric.
        """
        # another metric has another unit, so the margin makes it the primary one
        return self._asking(self.known_metric(metric), margin)

    def value_of(self, arm: str) -> float | None:
        """Return the mean of the primary metric over the seeds of an arm, lower is better; None if a run failed."""
        metric = self.study.compare
        values = self.scores(arm, metric)
        # a trial with a failed seed counts as failed: the mean of the survivors would favor settings that diverge
        if len(values) < len(self._of_arm.get(arm, [])) or not values or not all(map(math.isfinite, values.values())):
            return None
        mean = summarize(list(values.values())).mean
        return -mean if self.is_higher_better(metric) else mean

    def leading_arms(self) -> list[str]:
        """Return the arms that tables and curves show: all, or for a search the base and the best trials."""
        names = [arm.name for arm in self.arms if arm.name in self._judged]
        if self.study.searching is None:
            return names
        # only trials of the last rung were trained to the end; others have fewer epochs
        last = len(self.study.searching.rungs)
        values = {
            arm.name: self.value_of(arm.name) for arm in self.arms if arm.trial is not None and arm.trial.rung == last
        }
        finished = {name: value for name, value in values.items() if value is not None}
        plain = [arm.name for arm in self.arms if arm.trial is None]
        return [*plain, *sorted(finished, key=finished.__getitem__)[:TOP_TRIALS]]

    def leading_rows(self, rows: Sequence[ArmRow]) -> list[ArmRow]:
        """Return the rows of ``leading_arms``, in that order."""
        by_name = {row.name: row for row in rows}
        return [by_name[name] for name in self.leading_arms()]

    def effects(self, metric: str = "") -> list[Effect]:
        """Return main effects and interactions of a factorial study in ``metric``; empty unless its arms form a grid.

        A grid of one factor has no effects beyond the differences of ``compare``.

        Raises:
            UnknownNameError: no run has such a metric.
        """
        metric = self.known_metric(metric)
        cells = self._grid
        if not cells:
            return []
        scores = {name: self.scores(name, metric) for name in cells}
        further = len(cells) - 1
        found = factorial_effects(
            cells,
            scores,
            higher_is_better=self.is_higher_better(metric),
            further=further,
            looks=self._looks,
            overlap=self.overlap,
            paired_by=self.paired_by,
        )
        first, *others = cells
        # an effect averages over all cells, so one pair that cannot be compared spoils every effect
        refusals = {self._refusal(first, other, metric) for other in others} - {""}
        if not refusals and len({frozenset(self._lost(name)) for name in cells}) > 1 and found[0].n:
            refusals = {f"no verdict: not the same {self.unit}s failed in every cell"}
        return [_refused_effect(effect, sorted(refusals)[0]) if refusals else effect for effect in found]

    def known_metric(self, metric: str) -> str:
        """Return the metric asked for, the study's own unless one is named."""
        metric = metric or self.study.compare
        if self.metric_names and metric not in self.metric_names:
            names = self.metric_names
            raise UnknownNameError.among("metric", metric, names, hint=f"metrics: {', '.join(names)}")
        return metric

    def is_higher_better(self, metric: str) -> bool:
        """Return whether higher is better; False also if that is unknown, in which case there is no verdict."""
        return bool(self.direction(metric))

    def better_direction(self, metric: str) -> str:
        """Return the subject of "… is better", as captions say it."""
        words = {True: "higher", False: "lower", None: "it is not known which direction"}
        return words[self.direction(metric)]

    def direction(self, metric: str) -> bool | None:
        """Return whether higher is better, as declared by the metric or the callback; None if not declared."""
        stated: dict[str, bool] = {}
        for run in self.runs:
            found = run.result.get("higher_is_better")
            stated |= found if isinstance(found, dict) else {}
        split, _, plain = metric.partition("_")
        if metric in stated:
            return stated[metric]
        asked = getattr(self.study, "higher_is_better", None)
        # a study of a training function says it itself, also if none of its runs finished
        if asked is not None and metric == self.study.compare:
            return bool(asked)
        if split in SPLITS and plain == "loss":
            return False
        # a direction may be declared for the metric only, without its split
        return stated.get(plain) if split in SPLITS else COSTS.get(metric)

    def _row(self, name: str, comparison: ArmComparison | None, base: str) -> ArmRow:
        runs = self._of_arm.get(name, [])
        finished = [run for run in runs if run.status == "finished"]
        names = dict.fromkeys(key for run in finished for key in (*run.metrics, *run.budget))
        scores = {key: summarize(list(self.scores(name, key).values())) for key in names}
        outcomes = Counter(_OUTCOMES.get(run.outcome, run.outcome) for run in runs if run.status != "finished")
        return ArmRow(name, scores, outcomes.total(), comparison, len(runs), dict(outcomes), base)

    def frame(self) -> pd.DataFrame:
        """Return one row per run, as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        """Return the comparison with pictures and the report, as a notebook shows it."""
        return str(_notebook().results_html(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the comparison, as IPython shows it in a terminal."""
        printer.text(str(self))

    def __str__(self) -> str:
        return str(_notebook().results_text(self))

    def write_csv(self, path: Path) -> None:
        """Write one row per run: ``arm, seed, key, status``, the metrics, the budget."""
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            # "\n" on every system, so that the file is equal to the byte
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def _ratio_of_time(self, arm: str, base: str) -> float:
        """Return the ratio of median times; the first run of a process pays for imports, which a mean would keep."""
        times = [list(self.scores(name, "seconds").values()) for name in (arm, base)]
        return statistics.median(times[0]) / statistics.median(times[1]) if all(times) and all(times[1]) else math.nan

    def budget_notes(self) -> list[str]:
        """Return a note for each better arm that also used over 5 % more parameters or time."""
        base, *others = self.leading_rows(self.compare())
        notes: list[str] = []
        for row in others:
            if row.comparison is not None and row.comparison.is_better:
                ratios = {
                    "parameters": _ratio(row, base, "parameters"),
                    "time": self._ratio_of_time(row.name, base.name),
                }
                shares = [f"{ratio:.2f} × the {name}" for name, ratio in ratios.items() if ratio > 1.05]
                if shares:
                    notes.append(f"{row.name} is better, and had {' and '.join(shares)}")
        return notes


def _notebook() -> Any:
    # by name: a study must not import how it is shown
    return importlib.import_module("lab.report.notebook")


def _has_test(found: ArmComparison) -> bool:
    return found.n > 1 and not math.isnan(found.p)


def _refused_effect(effect: Effect, why: str) -> Effect:
    nothing = dict.fromkeys(("effect", "low", "high", "p", "p_corrected", "detectable"), math.nan)
    return attrs.evolve(effect, **nothing, verdict=why)  # type: ignore[arg-type]


def _is_whole_grid(cells: Sequence[Mapping[str, str]]) -> bool:
    """Return whether cells are every combination of the levels of two factors or more, each once."""
    factors = cells[0].keys() if cells else ()
    if any(cell.keys() != factors for cell in cells):
        return False
    counts = [len({cell[factor] for cell in cells}) for factor in factors]
    found = {tuple(cell[factor] for factor in factors) for cell in cells}
    return sum(count > 1 for count in counts) > 1 and len(cells) == len(found) == math.prod(counts)


def _ratio(row: ArmRow, base: ArmRow, key: str) -> float:
    if key not in row.scores or key not in base.scores or not base.scores[key].mean:
        return math.nan
    return row.scores[key].mean / base.scores[key].mean
