"""Cross-validation as the replication of a study: every fold of every repetition is one run of each arm.

With k folds, the runs of repetition s have the seeds ``s k`` … ``s k + k - 1``, one per fold, so that a seed says both:
fold ``seed % k`` of repetition ``seed // k``. Arms are paired by it. Repetitions draw partitions of their own. Training
parts of two folds share examples, so intervals and tests are corrected after Nadeau & Bengio 2003 (*Machine Learning*
52), for repeated folds as Bouckaert & Frank 2004 (*PAKDD*) do: the variance of a mean over n runs is
``1/n + 1/(k - 1)`` and not ``1/n`` times that of a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.registry.resolved import Component
from lab.study.checks import number_problems

if TYPE_CHECKING:
    from lab.study.experiment import ResolvedExperiment

__all__ = [
    "FOLDS",
    "changes_of",
    "describe_fold",
    "describe_replication",
    "fold_problems",
    "folds_of",
    "problems_of",
    "rule_of",
    "units",
]

FOLDS = "folds"
"""Name of the rule of a study whose replication is cross-validation, and of the dataset's parameter."""

FOLD = "fold"
SPLIT_SEEDS = ("split_seed", "seed")
"""Parameters of datasets that seed their partition; the first of them that is there. Functions have the first alone."""

MAX_FOLDS = 1000


def fold_problems(folds: Any) -> list[str]:
    """Return the problems of a number of folds."""
    return number_problems("folds", folds, smallest=2, largest=MAX_FOLDS)


def rule_of(folds: int) -> dict[str, Any]:
    """Return the rule that the record keeps: the number of folds, and validation examples per training example."""
    return {"folds": folds, "overlap": 1 / (folds - 1)}


def folds_of(rules: Mapping[str, Any]) -> int:
    """Return the number of folds of a study with these rules; 0 without cross-validation."""
    return int(rules.get(FOLDS, {}).get("folds", 0))


def units(folds: int, seeds: Sequence[int]) -> list[int]:
    """Return the seeds of the runs of each arm: one per fold of every repetition.

    >>> units(3, [0, 4])
    [0, 1, 2, 12, 13, 14]
    """
    return [seed * folds + fold for seed in seeds for fold in range(folds)]


def describe_replication(rules: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """Return how often every arm is trained, in words, from the seeds of its runs.

    >>> describe_replication({}, [0, 1, 2]), describe_replication({"folds": {"folds": 5}}, range(5))
    ('3 seeds', '5 folds')
    >>> describe_replication({"folds": {"folds": 5}}, range(15))
    '5 folds × 3 repetitions'
    """
    folds = folds_of(rules)
    if not folds:
        return f"{len(seeds)} seed{'s' * (len(seeds) != 1)}"
    count = len({seed // folds for seed in seeds})
    return f"{folds} folds" + (f" × {count} repetitions" if count > 1 else "")


def describe_fold(rules: Mapping[str, Any], seed: int) -> str:
    """Return the fold and the repetition of a run; empty without cross-validation.

    >>> describe_fold({"folds": {"folds": 5}}, 7), describe_fold({}, 7)
    ('fold 2 of repetition 1', '')
    """
    folds = folds_of(rules)
    return f"fold {seed % folds} of repetition {seed // folds}" if folds else ""


def _place_of_folds(experiment: ResolvedExperiment) -> str | None:
    """Return the path of the dataset, or of one that it wraps, with parameters ``folds`` and ``fold``; None without.

    A training function has them itself, so its path is empty.
    """
    if experiment.task is not None:
        return "" if {FOLDS, FOLD} <= _named(experiment.task) else None
    waiting: list[tuple[str, Component]] = [("dataset", experiment.component("dataset"))]
    while waiting:
        path, component = waiting.pop(0)
        if {FOLDS, FOLD} <= set(component.params):
            return path
        waiting += [(f"{path}.{name}", each) for name, each in component.params.items() if isinstance(each, Component)]
    return None


def _named(task: Component) -> set[str]:
    """Return the parameters of a training function, and those that a command takes by name."""
    free = [value for value in task.params.values() if isinstance(value, Mapping)]
    return {*task.params, *(name for mapping in free for name in mapping)}


def changes_of(experiment: ResolvedExperiment, folds: int, unit: int) -> dict[str, Any]:
    """Return the changes that make an experiment that of one fold: path → value.

    Args:
        experiment: of the arm, resolved, with a place for folds.
        folds: how many.
        unit: the seed of the run.
    """
    place = _place_of_folds(experiment)
    prefix = f"{place}." if place else ""
    found: dict[str, Any] = {f"{prefix}{FOLDS}": folds, f"{prefix}{FOLD}": unit % folds}
    for name in SPLIT_SEEDS if place else SPLIT_SEEDS[:1]:
        own = experiment.value_at(f"{prefix}{name}") if place else _task_value(experiment, name)
        if isinstance(own, int):
            # repetition 0 keeps the partition that the dataset has by itself
            found |= {f"{prefix}{name}": own + unit // folds} if unit >= folds else {}
            break
    return found


def _task_value(experiment: ResolvedExperiment, name: str) -> Any:
    task = experiment.task
    assert task is not None
    free = next((value for value in task.params.values() if isinstance(value, Mapping) and name in value), {})
    return task.params.get(name, free.get(name))


def problems_of(experiment: ResolvedExperiment, folds: int, seeds: Sequence[int], compare: str) -> list[str]:
    """Return why an experiment cannot be cross-validated, or nothing.

    Args:
        experiment: of an arm, resolved.
        folds: how many.
        seeds: of the repetitions.
        compare: the primary metric.
    """
    place = _place_of_folds(experiment)
    what = experiment.task.label if experiment.task is not None else experiment.component("dataset").label
    if place is None:
        return [
            f"{what} has no parameters 'folds' and 'fold', which Study(folds={folds}) sets\n"
            "  take one that has them (lab show NAME shows parameters), or replicate by seeds alone"
        ]
    if compare.startswith("test_"):
        return [
            f"folds are validated, and the study compares {compare}, of test examples that all folds share\n"
            f"  compare a metric of the validation split: valid_{compare.removeprefix('test_')}"
        ]
    # of a repetition besides the first, which also seeds its partition
    if len(seeds) > 1 and len(changes_of(experiment, folds, folds)) < 3:
        return [
            f"{what} has no whole number 'split_seed', so that repetitions of the folds could draw other partitions\n"
            "  take seeds=1, or more folds"
        ]
    return []
