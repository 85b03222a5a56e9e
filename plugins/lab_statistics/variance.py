"""Sources of variance: one source of randomness is varied at a time, the others are held.

Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks" (MLSys), measure such shares with a
seed for each source. Here every source has streams of its own, so that ``Experiment(vary=...)`` holds the others still.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.errors import LabError, StudyError, UnknownNameError
from lab.study.compare import LEVEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab import Section
    from lab.study.results import Results
    from lab.study.study import Study

__all__ = ["Share", "describe", "sections", "shares", "sources", "variance_ratio"]

RULE = "sources"
SPLIT = "split"
MAX_SPLITS = 1000


@attrs.frozen
class Share:
    """One source of variance.

    Attributes:
        source: its name.
        n: runs.
        spread: standard deviation of the metric when it alone varies.
        share: its variance over that of runs in which every random choice of training varies.
        low, high: 95 % interval of the share, for normal scores; NaN if there is none.
    """

    source: str
    n: int
    spread: float
    share: float
    low: float
    high: float


def sources(study: Study, *names: str, split: str = "", splits: int = 10) -> Study:
    """Return the study with an arm for each source of randomness, in which that source alone varies.

    The base varies all of them. ``lab variance STUDY``, and the report, give the share of each source.

    Args:
        study: the study; its own arms stay.
        names: sources of ``Experiment(vary=...)``; by default all.
        split: path of the parameter that seeds the split of the data, such as ``dataset.split_seed``; its arms then
            have other splits and nothing else.
        splits: how many splits are drawn.

    Raises:
        StudyError: an unknown source, too few splits, or a base that is a training function.
    """
    from lab.study.checks import number_problems, text_problem
    from lab.study.experiment import Experiment
    from lab.study.study import Arm, Trial
    from lab.training.rng import SOURCES

    hint = f"sources of randomness: {', '.join(SOURCES)}"
    problems = [problem for name in names for problem in text_problem("a source", name)]
    problems += text_problem("split of sources, the path of the parameter that seeds the split,", split)
    problems += number_problems("splits of sources", splits, smallest=2, largest=MAX_SPLITS)
    problems += [
        str(UnknownNameError.among("source", name, list(SOURCES), hint=hint))
        for name in names
        if isinstance(name, str) and name not in SOURCES
    ]
    if not isinstance(study.base, Experiment):
        problems.append("sources: a training function has random streams of its own, which lab cannot hold still")
    if problems:
        raise StudyError(problems)
    chosen = names or SOURCES
    arms = [Arm(f"only {name}", {"vary": [name]}, swapped="vary") for name in chosen]
    # trials are not compared with the base: a run on another split has other validation examples
    drawn = [
        Arm(f"split {number}", {"vary": [], split: number}, trial=Trial(number, 0, {split: number}), seeds=(0,))
        for number in range(1, splits + 1 if split else 1)
    ]
    rule = {
        "arms": {name: arm.name for name, arm in zip(chosen, arms, strict=True)},
        "splits": [arm.name for arm in drawn],
    }
    return attrs.evolve(study, arms=(*study.arms, *arms, *drawn), rules={**study.rules, RULE: rule})


def variance_ratio(source: Sequence[float], whole: Sequence[float], level: float = LEVEL) -> tuple[float, float, float]:
    """Return the ratio of two variances with its interval, from the F distribution (Snedecor & Cochran 1989, ch. 6).

    Args:
        source, whole: independent samples of at least two; ``whole`` has a spread.
        level: of the interval.
    """
    from scipy.stats import f

    n, m = len(source), len(whole)
    ratio = float(np.var(source, ddof=1) / np.var(whole, ddof=1))
    return ratio, ratio / float(f.ppf(1 - level / 2, n - 1, m - 1)), ratio * float(f.ppf(1 - level / 2, m - 1, n - 1))


def shares(results: Results, metric: str = "") -> list[Share]:
    """Return the share of every source in the variance of the base, the largest first.

    Raises:
        LabError: the study varies no source on its own, or the base has fewer than three runs or no spread.
    """
    metric = metric or results.study.compare
    rule = getattr(results.study, "rules", {}).get(RULE)
    if rule is None:
        raise LabError(
            f"'{results.study.name}' varies no source of randomness on its own",
            hint="ask for it: Study(base, seeds=10).sources()",
        )
    base = _finite(results, results.arms[0].name, metric)
    if len(base) < 3 or not np.ptp(base):
        raise LabError(
            f"the base of '{results.study.name}' has {len(base)} finished runs, or runs without a spread",
            hint="at least three seeds are needed, ten give useful intervals",
        )
    samples = {source: _finite(results, arm, metric) for source, arm in rule["arms"].items()}
    if rule["splits"]:
        samples[SPLIT] = [value for arm in rule["splits"] for value in _finite(results, arm, metric)]
    found = []
    for source, values in samples.items():
        if len(values) < 2:
            continue
        if np.ptp(values) <= 1e-9 * max(1.0, abs(values[0])):
            # equal runs: nothing is drawn from this source, which is no estimate but a fact
            found.append(Share(source, len(values), 0.0, 0.0, math.nan, math.nan))
            continue
        found.append(Share(source, len(values), float(np.std(values, ddof=1)), *variance_ratio(values, base)))
    return sorted(found, key=lambda each: -each.share)


def _finite(results: Results, arm: str, metric: str) -> list[float]:
    return [value for value in results.scores(arm, metric).values() if math.isfinite(value)]


def describe(results: Results, metric: str = "") -> list[str]:
    """Return the shares as lines of text, with what they say for the number of seeds.

    Raises:
        LabError: as ``shares``.
    """
    metric = metric or results.study.compare
    found = shares(results, metric)
    base = _finite(results, results.arms[0].name, metric)
    whole = float(np.std(base, ddof=1))
    lines = [f"{metric}: spread {whole:.3g} over {len(base)} seeds in which every random choice of training varies"]
    for each in found:
        if not each.spread:
            lines.append(f"  {each.source}: nothing is drawn from it ({each.n} equal runs)")
            continue
        lines.append(
            f"  {each.source}: spread {each.spread:.3g}, {each.share:.0%} of that variance "
            f"[{each.low:.0%}, {each.high:.0%}] ({each.n} runs)"
        )
    training = [each for each in found if each.source != SPLIT and each.spread]
    if training:
        first = training[0]
        narrow = math.sqrt(min(1.0, first.share))
        lines.append(
            f"  seeds that vary {first.source} alone would give intervals {narrow:.2g} × as wide as they should be"
        )
        total = sum(each.share for each in training)
        lines.append(f"  together {total:.0%}: " + _additivity(total))
    split = next((each for each in found if each.source == SPLIT and each.spread), None)
    if split is not None:
        wider = math.sqrt(1 + split.share)
        lines.append(
            f"  with other splits too, scores spread {wider:.2g} × as much: intervals over seeds are about this split; "
            "no number of seeds makes up for it"
        )
    return lines


def _additivity(total: float) -> str:
    if 0.7 <= total <= 1.4:
        return "the sources add up"
    return (
        "more than the whole, the sources overlap" if total > 1 else "the rest arises where sources meet, or is chance"
    )


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on sources of variance; none for studies that vary no source on its own."""
    from lab import Section
    from lab.report.pieces import figure_html
    from lab.study.results import Results

    if RULE not in getattr(study, "rules", {}):
        return []
    results, plot = Results(study, list(study.all_arms), runs), ""
    try:
        text = "\n".join(describe(results))
        plot = figure_html(plot_shares(shares(results)), "share of each source of randomness in the variance")
    except LabError as error:
        text = str(error)
    return [Section("Where the variance comes from", text, f"<pre>{html.escape(text)}</pre>{plot}", weight=-10)]


def plot_shares(found: Sequence[Share]) -> Figure:
    """Plot the share of every source with its interval, on a logarithmic axis."""
    from matplotlib.figure import Figure

    drawn = [each for each in found if each.share > 0]
    figure = Figure(figsize=(6, 0.8 + 0.4 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    for position, each in enumerate(reversed(drawn)):
        axes.plot([each.low, each.high], [position, position], color="gray")
        axes.plot([each.share], [position], marker="o", color="black")
    axes.set_yticks(range(len(drawn)), [each.source for each in reversed(drawn)])
    axes.axvline(1.0, color="gray", linestyle=":")
    axes.set(xscale="log", xlabel="variance, relative to that over seeds which vary all of training")
    return figure
