"""Arms compared example by example: texts for ``lab by-example`` and the report."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lab_basics.notes import counted

from lab.errors import DataError, LabError, UnknownNameError
from lab.study.compare import MIN_SEEDS
from lab.study.folds import FOLDS
from lab.study.record import shell_name, variant_of
from lab_statistics.corpus import ScoreOfSums, jackknife_differences, randomization_p, resampled_interval
from lab_statistics.crossed import (
    MIN_EXAMPLES,
    Crossed,
    bootstrap_interval,
    crossed_interval,
    mcnemar,
    slices_of,
    small_slices,
)
from lab_statistics.examples import is_kept, keep_scores, read_scores, read_statistics, scores_of_examples

if TYPE_CHECKING:
    from lab import Data, Section
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.store import RunRecord, Store

__all__ = [
    "complete_scores",
    "describe_arm",
    "differences_of",
    "family_of",
    "read_columns",
    "score_to_compare",
    "sections",
    "target_columns",
]

MAX_CLASSES = 30
"""Distinct targets up to which each is a slice."""

MAX_NAMES = 6
MOST, LEAST = 0.8, 0.2
"""Share of the variance above which one source of it is nearly all, and below which it is next to nothing."""


def complete_scores(results: Results, store: Store, catalog: Catalog) -> Data | None:
    """Score the examples of the finished runs that kept none; return the data if a run was loaded for it.

    Raises:
        LabError: a run cannot be loaded as it was trained, or is of a training function or command.
    """
    from lab.study.experiment import TASK
    from lab.study.rebuild import load

    data = None
    for run in results.runs:
        if run.status == "finished" and not is_kept(run):
            if TASK in run.experiment()["experiment"]:
                raise LabError(
                    f"run {run.key} is of a training function or command and kept no scores of its examples",
                    where=str(run.folder),
                    hint="keep them in the training function, one number per validation example: "
                    'lab_statistics.keep_scores(run.folder, {"loss": losses}), in a command with its {folder}; '
                    "then train again",
                )
            learner = load(run.key, store.root, catalog=catalog)
            keep_scores(run.folder, scores_of_examples(learner))
            data = learner.data
    return data


def data_of(results: Results, store: Store, catalog: Catalog) -> Data | None:
    """Return the data of the base, None if its runs cannot be loaded any more (code or data have changed)."""
    from lab.study.rebuild import load

    for run in results.runs:
        if run.status == "finished":
            try:
                return load(run.key, store.root, catalog=catalog).data
            except LabError:
                return None
    return None


def score_to_compare(results: Results, asked: str = "") -> str:
    """Return the score that arms are compared by: the one asked for, that of the primary metric, or the loss.

    Raises:
        UnknownNameError: no run kept such a score.
    """
    kept = [set(read_scores(run)) for run in results.runs if run.status == "finished" and is_kept(run)]
    common = sorted(set.intersection(*kept) - {"weight"}) if kept else []
    name = (asked or results.study.compare).removeprefix("valid_")
    if name in common:
        return name
    if asked:
        raise UnknownNameError.among("score", name, common, hint=f"scores of examples: {', '.join(common) or 'none'}")
    return "loss" if "loss" in common or not common else common[0]


def differences_of(results: Results, arm: str, score: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return the common seeds of an arm and its base, and the scores of both, each (seeds, examples).

    The loss of an example counts by its weight, relative to the mean weight, so that means are those of the table.

    Raises:
        LabError: they have no seed in common, other examples, or a single one.
    """
    if {"splits", FOLDS} & set(getattr(results.study, "rules", {})):
        raise LabError(
            f"every {'fold' if results.folds else 'seed'} of '{results.study.name}' has other validation examples",
            hint="its intervals are about the population already",
        )
    base = results.base_of(arm)
    found = {name: _scores_by_seed(results, name, score) for name in (base, arm)}
    seeds = [seed for seed in found[base] if seed in found[arm]]
    if not seeds:
        raise LabError(f"'{arm}' and '{base}' have no finished seed with scores of examples in common")
    sizes = {len(found[name][seed]) for name in (base, arm) for seed in seeds}
    if len(sizes) > 1:
        raise LabError(f"'{arm}' and '{base}' were evaluated on other examples", hint=f"numbers: {sorted(sizes)}")
    if sizes == {1}:
        raise LabError(
            f"'{arm}' and '{base}' were evaluated on one example: there is no other one to compare it with",
            hint=f"lab compare {results.study.name} compares them over seeds",
        )
    one, other = (np.stack([found[name][seed] for seed in seeds]) for name in (base, arm))
    return seeds, one, other


def _scores_by_seed(results: Results, arm: str, score: str) -> dict[int, np.ndarray]:
    found = {}
    for run in results.runs:
        if run.arm == arm and run.status == "finished" and is_kept(run):
            scores = read_scores(run)
            if score in scores:
                found[run.seed] = _weighted(scores, score)
    return found


def counts_of(results: Results, arm: str, score: str, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the counts that a metric sums, of an arm's base and of the arm, each (seeds, examples, counts).

    None if some run kept none, as runs of metrics that are means over examples.
    """
    names = (results.base_of(arm), arm)
    runs = {(run.arm, run.seed): run for run in results.runs if run.status == "finished" and run.arm in names}
    kept = {key: read_statistics(run) for key, run in runs.items() if key[1] in seeds}
    if not kept or any(score not in found for found in kept.values()):
        return None
    base, other = (np.stack([kept[name, seed][score] for seed in seeds]) for name in names)
    return base, other


def _weighted(scores: Mapping[str, np.ndarray], score: str) -> np.ndarray:
    if score != "loss" or not scores["weight"].sum():
        return scores[score]
    weighted: np.ndarray = scores["loss"] * scores["weight"] / scores["weight"].mean()
    return weighted


def _is_right_or_wrong(*scores: np.ndarray) -> bool:
    return all(np.isin(values, (0.0, 1.0)).all() for values in scores)


def describe_arm(
    results: Results,
    arm: str,
    score: str,
    *,
    columns: Mapping[str, Sequence[object]] | None = None,
    top: int = 10,
    family: int = 0,
    score_of_sums: ScoreOfSums | None = None,
) -> str:
    """Return how an arm differs from its base, example by example, as lines of text.

    Args:
        results: the study.
        arm: its name.
        score: ``loss`` or a metric.
        columns: name → value of every example, for slices.
        top: examples to show that changed most.
        family: comparisons whose intervals hold together; those of the study's table if 0.
        score_of_sums: the score of a corpus from its summed counts, for a metric whose counts all runs kept; corpora
            are then resampled.
    """
    seeds, base, other = differences_of(results, arm, score)
    d = other - base
    level = _level(results, family or family_of(results, score), len(seeds))
    found = crossed_interval(d, level)
    counts = counts_of(results, arm, score, seeds) if score_of_sums is not None else None
    if counts is None or score_of_sums is None:
        drawn, of_slice = bootstrap_interval(d.mean(axis=0), level), None
    else:
        one, two = counts
        drawn = resampled_interval(one, two, score_of_sums, level)

        def of_slice(chosen: np.ndarray) -> np.ndarray:
            return jackknife_differences(one[:, chosen], two[:, chosen], score_of_sums)

    counts_of_both = f"{counted(found.examples, 'example')}, {counted(found.seeds, 'seed')}"
    lines = [f"{arm}: Δ {score} of {counts_of_both}: {found.difference:+.4g}"]
    lines += [f"  {text}" for text in _intervals(found, drawn)]
    if _is_right_or_wrong(base, other):
        lines.append(f"  {_mcnemar_text(seeds, base, other)}")
    if counts is not None and score_of_sums is not None:
        p_values = [randomization_p(one, two, score_of_sums) for one, two in zip(*counts, strict=True)]
        lines.append(f"  approximate randomization, p of each seed: {', '.join(f'{p:.2g}' for p in p_values)}")
    if columns:
        lines += _slice_lines(d, columns, of_slice)
    if top:
        what = "Δ" if counts is None else f"its part in Δ {score}"
        lines.append(f"  examples that changed most (number in the split: {what}, seeds that agree):")
        lines += [
            f"    {number}: {value:+.4g}, {agree} of {len(seeds)}" for number, value, agree in changed_most(d, top)
        ]
    return "\n".join(lines)


def _slice_lines(
    d: np.ndarray, columns: Mapping[str, Sequence[object]], of_slice: Callable[[np.ndarray], np.ndarray] | None
) -> list[str]:
    slices, small = slices_of(d, columns, of_slice=of_slice), small_slices(columns)
    lines = []
    if slices:
        others = "other seeds and other examples" if len(d) >= MIN_SEEDS else "other examples, of these seeds"
        lines.append(f"  by slice (intervals with {others}, together 95 %):")
    for each in slices:
        interval = _interval(each.low, each.high)
        same = "" if interval else ", without a spread: no interval"
        lines.append(f"    {each.name}: {each.found.difference:+.4g}{interval} ({each.found.examples} examples{same})")
    if small:
        more = f" and {len(small) - MAX_NAMES} more" if len(small) > MAX_NAMES else ""
        count = "1 slice has" if len(small) == 1 else f"{len(small)} slices have"
        lines.append(
            f"  {count} fewer than {MIN_EXAMPLES} examples and "
            f"{'is' if len(small) == 1 else 'are'} left out: {', '.join(small[:MAX_NAMES])}{more}"
        )
    return lines


def family_of(results: Results, score: str) -> int:
    """Return the number of comparisons whose intervals hold together in the study's table of this score."""
    metric = f"valid_{score}"
    rows = results.compare(metric if metric in results.metric_names else "")
    p_values = [row.comparison.p for row in rows if row.comparison is not None]
    # arms that the table does not test do not widen the intervals of the others
    untested = sum(map(math.isnan, p_values))
    return results.family - untested if untested < len(p_values) else results.family


def _level(results: Results, family: int, seeds: int) -> float:
    """Return the level of an interval among ``family``, in a study that may look at its results repeatedly."""
    from lab.study.compare import level_of_look, looks_of_rule, single_level
    from lab.study.study import SEEDS

    rule = getattr(results.study, "rules", {}).get(SEEDS, {})
    return level_of_look(single_level(family), looks_of_rule(rule), seeds)


def _in_one_line(results: Results, arm: str, score: str, family: int) -> str:
    seeds, base, other = differences_of(results, arm, score)
    found = crossed_interval(other - base, _level(results, family, len(seeds)))
    interval = _interval(found.low, found.high)
    if found.seeds < MIN_SEEDS:
        where = f"{_few_seeds(found.seeds)}: no interval for other seeds"
    else:
        where = f"with other seeds and examples{interval}" if interval else "no interval: no spread"
    return f"{arm}: Δ {score} {found.difference:+.4g}; {where}"


def _intervals(found: Crossed, drawn: tuple[float, float]) -> list[str]:
    over_examples = _interval(*drawn) or ": no interval, all have the same difference"
    if found.examples < MIN_EXAMPLES:
        # resampling so few gives the same few means again and again
        drawn, over_examples = (math.nan, math.nan), f": no interval, that takes at least {MIN_EXAMPLES} examples"
    if found.seeds < MIN_SEEDS:
        their = "its" if found.seeds == 1 else "their"
        return [
            f"{_few_seeds(found.seeds)}: paired bootstrap over {their} examples{over_examples}",
            f"no interval for other seeds: that takes at least {MIN_SEEDS} seeds",
        ]
    if math.isnan(found.low) and math.isnan(found.fixed_low):
        return ["no interval: the difference is the same in every seed, and in every example on average"]
    over_seeds = _interval(found.fixed_low, found.fixed_high) or ": no interval, all have the same difference"
    lines = [
        f"with other seeds and other examples{_interval(found.low, found.high) or ': no interval'}",
        f"with other seeds, on these examples{over_seeds}",
        f"with other examples, of these seeds{over_examples}" + (" (paired bootstrap)" if _interval(*drawn) else ""),
    ]
    return lines if math.isnan(found.seed_share) else [*lines, _share_text(found.seed_share)]


def _few_seeds(count: int) -> str:
    return "one seed" if count == 1 else "two seeds"


def _share_text(of_seeds: float) -> str:
    """Return the shares of the variance, and what would make the interval narrower."""
    if of_seeds > MOST:
        advice = "more seeds would help, more examples little"
    elif of_seeds < LEAST:
        advice = "more examples would help, more seeds little"
    else:
        advice = f"more of both would help, {'seeds' if of_seeds > 0.5 else 'examples'} more"
    return f"share of the variance: {of_seeds:.0%} due to seeds, {1 - of_seeds:.0%} due to examples; {advice}"


def _mcnemar_text(seeds: Sequence[int], base: np.ndarray, other: np.ndarray) -> str:
    tests = [mcnemar(one, two) for one, two in zip(base, other, strict=True)]
    lost, won = (sum(test[i] for test in tests) / len(tests) for i in (0, 1))
    p_values = ", ".join(f"{p:.2g}" for _, _, p in tests)
    return (
        f"right only in the base {lost:.1f}, only in the arm {won:.1f} examples per seed; "
        f"McNemar p of each seed: {p_values}"
    )


def _interval(low: float, high: float) -> str:
    """Return an interval as text with a space before it; empty if there is none, or it has no width but rounding."""
    if math.isnan(low) or math.isclose(low, high, rel_tol=1e-9):
        return ""
    return f" [{low:+.4g}, {high:+.4g}]"


def changed_most(d: np.ndarray, top: int) -> list[tuple[int, float, int]]:
    """Return the examples whose score changed most on average over seeds: number, mean difference, seeds that agree."""
    mean = d.mean(axis=0)
    order = np.argsort(-np.abs(mean), kind="stable")[:top]
    return [(int(i), float(mean[i]), int((np.sign(d[:, i]) == np.sign(mean[i])).sum())) for i in order if mean[i]]


# --- slices -----------------------------------------------------------------------------------------------------------


def target_columns(data: Data | None) -> dict[str, list[object]]:
    """Return the slices that data offers by itself: the class of every validation example, and its length."""
    import torch

    columns: dict[str, list[object]] = {}
    if data is None:
        return columns
    lengths = data.length(data.valid)
    if lengths is not None:
        columns["length"] = [float(value) for value in lengths]
    tensors = getattr(data.valid, "tensors", None)
    target = tensors[-1] if tensors else None
    if isinstance(target, torch.Tensor) and target.dim() == 1 and not target.is_floating_point():
        values = target.tolist()
        if len(set(values)) <= MAX_CLASSES:
            columns["target"] = values
    return columns


def read_columns(path: Path, results: Results) -> dict[str, list[object]]:
    """Return the columns of a CSV file with one row per validation example.

    Raises:
        DataError: it cannot be read, or has another number of rows.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read slices: {error}", where=str(path)) from error
    sizes = {len(read_scores(run)["weight"]) for run in results.runs if run.status == "finished" and is_kept(run)}
    if sizes != {len(frame)}:
        raise DataError(
            f"the slices have {len(frame)} rows, the validation split {', '.join(map(str, sorted(sizes)))} examples",
            where=str(path),
            hint="one row per validation example, in the order of the split",
        )
    return {str(name): frame[name].fillna("").tolist() for name in frame.columns}


# --- the report -------------------------------------------------------------------------------------------------------


def sections(study: Any, runs: Sequence[RunRecord]) -> list[Section]:
    """Return the section on single examples; none if runs kept no scores of the same examples."""
    from lab import Section
    from lab.study.results import Results

    finished = [run for run in runs if run.status == "finished"]
    if not finished or not all(is_kept(run) for run in finished) or study.searching is not None:
        return []
    arms = list({arm.name: arm for arm in study.all_arms}.values())
    if len(arms) < 2:
        return []
    results = Results(study, arms, runs)
    names = [name for name in results.leading_arms() if results.base_of(name) != name]
    lines, texts = [], []
    for name in names:
        try:
            score = score_to_compare(results)
            family = family_of(results, score)
            lines.append(_in_one_line(results, name, score, family))
            texts.append(describe_arm(results, name, score, top=5, family=family))
        except LabError:
            # an arm on other examples: the table says so, and nothing can be compared example by example
            continue
    if not lines:
        return []
    # in a terminal one line per arm: a study of nine arms would fill three screens
    root = Path(runs[0].folder).parent.parent
    which = variant_of(root, study.name, [run.key for run in runs])
    lines.append(f"more: lab by-example {shell_name(study.name, root, which)}")
    text = "\n\n".join(texts)
    return [Section("Example by example", "\n".join(lines), f"<pre>{html.escape(text)}</pre>", weight=40)]
