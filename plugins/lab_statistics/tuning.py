"""Arms tuned with equal budgets, then compared on fresh seeds.

"Attention is worse" may only mean that attention wants another learning rate (Melis et al. 2018, ICLR). Here every arm
gets searches of its own with the same budget, on seeds of their own; the best settings are then trained with the seeds
of the study, which no choice has seen. Expected validation performance (Dodge et al. 2019, EMNLP) says what smaller
budgets would have found.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from lab.errors import LabError, StudyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab import Section
    from lab.registry.plugins import Catalog
    from lab.study.results import Results
    from lab.study.space import Options, Range
    from lab.study.study import Arm, Study, Trial

__all__ = ["TunedArm", "describe", "expected_best", "next_arms", "sections", "tune", "tuned_arms"]

RULE = "tune"
ARM, SEARCH = "(arm)", "(search)"
"""Keys among the settings of a trial that say whose it is; no path has parentheses."""

FIRST_SEED = 1_000_000
"""First seed of a search: far from those that studies use, so that the seeds of the comparison are fresh."""

MAX_TRIALS = 1000
PLAIN = (str, int, float, bool, type(None))


def tune(
    study: Study,
    space: Mapping[str, Any],
    *,
    trials: int = 8,
    per_arm: bool = True,
    per_seed: bool = True,
    searcher: str = "quasi_random",
    seed: int = 0,
) -> Study:
    """Return the study in which every arm is also tuned, with the same budget, before it is compared.

    The table has the arms as they are, and below them the tuned ones, compared with the tuned base. Where the study
    compares a metric of the test split, arms are tuned by the same metric of the validation split.

    A search that found worse settings by bad luck makes a real difference. So each seed of the study has a search of
    its own, and the interval is about the arm and its tuning together; ``per_seed=False`` trains less and compares only
    the settings that one search found.

    Args:
        study: the study, with all of its arms.
        space: path → range or options, as for ``Study.search``; options are numbers, texts or names of components.
        trials: of each search; the first has the settings that the arm has by itself.
        per_arm: False tunes the base alone and gives its settings to every arm.
        per_seed: whether each seed of the study has a search of its own.
        searcher: what proposes the trials: ``lab list searchers``.
        seed: of the searcher; every arm tries the same settings.

    Raises:
        StudyError: every path with what is wrong there, a number out of range, or seeds that a search uses.
    """
    from lab.study.checks import flag_problem, number_problems, text_problem
    from lab.study.space import Options, read_space

    found = read_space(space)
    problems = number_problems("trials of tune", trials, smallest=2, largest=MAX_TRIALS)
    problems += flag_problem("per_arm of tune", per_arm) + flag_problem("per_seed of tune", per_seed)
    problems += text_problem("searcher of tune", searcher, may_be_empty=False)
    # every search has the next seed, and NumPy's legacy generator takes 32 bits
    problems += number_problems("seed of tune", seed, smallest=0, largest=2**31)
    for path, choice in found.items():
        if isinstance(choice, Options) and not all(isinstance(value, PLAIN) for value in choice.values.values()):
            problems.append(
                f"tune, {path}: options are numbers, texts or names of components, so that records keep them"
            )
    used = [seed for seed in study.seed_list if seed >= FIRST_SEED]
    if used:
        problems.append(f"seeds from {FIRST_SEED:,} on are those of tune, and the comparison needs others: {used[0]}")
    if study.searching is not None:
        problems.append("a study is searched or tuned, not both: tune compares arms, search has none")
    if "match" in study.rules:
        problems.append("a study is tuned or matched, not both")
    if "across" in study.rules:
        problems.append("a study is tuned or asked across datasets, not both: tune on each in a study of its own")
    if "seeds" in study.rules:
        problems.append("a tuned study needs a fixed number of seeds: each has a search of its own")
    if problems:
        raise StudyError(problems)
    plain = {
        path: {"options": dict(choice.values)} if isinstance(choice, Options) else attrs.asdict(choice)
        for path, choice in found.items()
    }
    rule = {
        "space": plain,
        "trials": trials,
        "per_arm": per_arm,
        "per_seed": per_seed,
        "searcher": searcher,
        "seed": seed,
        "probes": [[path, value] for path, choice in found.items() for value in choice.corners],
    }
    return attrs.evolve(study, rules={**study.rules, RULE: rule})


def space_of(rule: Mapping[str, Any]) -> dict[str, Range | Options]:
    """Return the space of a recorded rule."""
    from lab.study.space import Options, Range

    return {
        path: Options(choice["options"]) if "options" in choice else Range(**choice)
        for path, choice in rule["space"].items()
    }


def trial_name(arm: str, number: int, search: int) -> str:
    """Return the name of a trial of an arm in one of its searches."""
    return f"{arm}, trial {number} of search {search}"


def tuned_name(arm: str) -> str:
    """Return the name of a tuned arm in tables."""
    return f"{arm}, tuned"


def next_arms(study: Study, results: Results, catalog: Catalog) -> list[Arm]:
    """Return the trials of every arm, then its tuned form; nothing for a study that is not tuned, or once it is."""
    from lab.study.study import Arm, Trial

    rule = study.rules.get(RULE)
    if rule is None:
        return []
    known = {arm.name: arm for arm in study.all_arms}
    plain = [arm for arm in known.values() if arm.trial is None]
    searched = plain if rule["per_arm"] else plain[:1]
    searches = range(len(study.seed_list) if rule["per_seed"] else 1)
    if trial_name(plain[0].name, 0, 0) not in known:
        settings = [_settings(rule, catalog, search) for search in searches]
        return [
            Arm(
                trial_name(arm.name, number, search),
                {**arm.changes, **each},
                trial=Trial(number, 0, {**each, ARM: arm.name, SEARCH: search}),
                seeds=(FIRST_SEED + search,),
            )
            for arm in searched
            for search in searches
            for number, each in enumerate(settings[search])
        ]
    if any(arm.row == tuned_name(plain[0].name) for arm in known.values()):
        return []
    return [
        _tuned(arm, (arm if rule["per_arm"] else plain[0]).name, search, plain[0], study, results)
        for arm in plain
        for search in searches
    ]


def _tuned(arm: Arm, searched: str, search: int, base: Arm, study: Study, results: Results) -> Arm:
    """Return the part of a tuned arm that has the settings of one search."""
    from lab.study.study import Arm, Trial

    number = _best(searched, search, study, results)
    trial = next(each.trial for each in results.arms if each.name == trial_name(searched, number, search))
    assert trial is not None
    changes = own_settings(trial)
    return Arm(
        f"{tuned_name(arm.name)} by search {search}",
        {**arm.changes, **changes},
        trial=Trial(number, 1, {**changes, ARM: arm.name, SEARCH: search}),
        seeds=(study.seed_list[search],) if study.rules[RULE]["per_seed"] else None,
        base="" if arm is base else tuned_name(base.name),
        row=tuned_name(arm.name),
    )


def own_settings(trial: Trial) -> dict[str, Any]:
    """Return path → value of a trial; empty for the settings that its arm has by itself."""
    return {path: value for path, value in trial.settings.items() if path not in (ARM, SEARCH)}


def _settings(rule: Mapping[str, Any], catalog: Catalog, search: int) -> list[dict[str, Any]]:
    """Return the settings of every trial of a search; those of the first are what an arm has by itself."""
    from lab.registry.resolve import Resolver
    from lab.study.space import Options

    space = space_of(rule)
    resolver = Resolver(catalog)
    component = resolver.resolve("searchers", rule["searcher"])
    if component is None:
        raise StudyError(resolver.problems)
    proposed = component.build({}).propose(space, [], rule["trials"] - 1, rule["seed"] + search)
    return [{}] + [
        {
            path: space[path].values[value] if isinstance(space[path], Options) else value  # type: ignore[union-attr]
            for path, value in each.items()
        }
        for each in proposed
    ]


def tuning_metric(study: Any) -> str:
    """Return the metric that arms are tuned by: never of the test split."""
    return metric_of(str(study.compare))


def metric_of(compared: str) -> str:
    """Return the metric of the validation split by which arms are tuned that are compared by another.

    >>> metric_of("test_accuracy"), metric_of("valid_loss")
    ('valid_accuracy', 'valid_loss')
    """
    split, _, rest = compared.partition("_")
    return f"valid_{rest}" if split == "test" else compared


def _values(arm: str, search: int, study: Any, results: Results) -> dict[int, float]:
    """Return trial → value of the metric, lower is better, of the trials of a search that finished."""
    metric = tuning_metric(study)
    sign = -1 if results.is_higher_better(metric) else 1
    found: dict[int, float] = {}
    for each in results.arms:
        settings = each.trial.settings if each.trial is not None and each.trial.rung == 0 else {}
        if settings.get(ARM) == arm and settings.get(SEARCH) == search:
            scores = [value for value in results.scores(each.name, metric).values() if math.isfinite(value)]
            if scores:
                found[each.trial.number] = sign * scores[0]  # type: ignore[union-attr]
    return found


def _best(arm: str, search: int, study: Study, results: Results) -> int:
    values = _values(arm, search, study, results)
    if not values:
        raise LabError(
            f"no trial of '{arm}' finished with a finite {tuning_metric(study)}",
            hint="narrow the ranges of tune to settings that train",
        )
    return min(values, key=lambda each: (values[each], each))


# --- what was found ---------------------------------------------------------------------------------------------------


def expected_best(values: Sequence[float], *, higher_is_better: bool) -> np.ndarray:
    """Return the expected best of 1, 2, … of these trials, drawn with replacement (Dodge et al. 2019, equation 3).

    Args:
        values: scores of B trials.
        higher_is_better: the direction.

    Shapes:
        values (B,) -> (B,)

    >>> expected_best([0.0, 1.0], higher_is_better=True).tolist()
    [0.5, 0.75]
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if not higher_is_better:
        ordered = ordered[::-1]
    count = len(ordered)
    shares = np.arange(count + 1) / count
    # P(best of n is the i-th) = (i/B)^n - ((i-1)/B)^n
    powers = shares[None, :] ** np.arange(1, count + 1)[:, None]
    best: np.ndarray = np.diff(powers, axis=1) @ ordered
    return best


@attrs.frozen
class TunedArm:
    """What tuning found for one arm.

    Attributes:
        arm: its name.
        settings: path → value of the best trial, of each search.
        expected: expected best score of 1, 2, … trials, the mean over searches.
        own: searches in which the settings that the arm has by itself were best.
    """

    arm: str
    settings: Mapping[str, Sequence[Any]]
    expected: Sequence[float]
    own: int


def tuned_arms(study: Any, results: Results) -> list[TunedArm]:
    """Return what tuning found, one entry per arm that was searched; empty for a study that is not tuned."""
    if RULE not in getattr(study, "rules", {}):
        return []
    higher = results.is_higher_better(tuning_metric(study))
    chosen: dict[str, list[Trial]] = {}
    for arm in study.all_arms:
        if arm.trial is not None and arm.trial.rung > 0:
            chosen.setdefault(arm.trial.settings[ARM], []).append(arm.trial)
    found = []
    for name, trials in chosen.items():
        curves = []
        for search in {trial.settings[SEARCH] for trial in trials}:
            values = [-value if higher else value for value in _values(name, search, study, results).values()]
            if values:
                curves.append(expected_best(values, higher_is_better=higher))
        settings = [own_settings(trial) for trial in trials]
        paths = dict.fromkeys(path for each in settings for path in each)
        if curves:
            shortest = min(map(len, curves))
            expected = np.mean([curve[:shortest] for curve in curves], axis=0).tolist()
            by_path = {path: [each[path] for each in settings if path in each] for path in paths}
            found.append(TunedArm(name, by_path, expected, sum(not each for each in settings)))
    return found


def describe(study: Any, results: Results) -> list[str]:
    """Return what tuning found as lines of text."""
    metric = tuning_metric(study)
    rule = study.rules[RULE]
    searches = "each seed" if rule["per_seed"] else "the study"
    lines = [
        f"for {searches}, each arm had {rule['trials']} trials by {metric}, with seeds of their own; "
        "tuned arms are compared on fresh seeds"
    ]
    if study.compare == metric:
        lines.append(
            "tuned and compared on the same validation examples: a metric of a test split would be free of that"
        )
    for each in tuned_arms(study, results):
        settings = ", ".join(f"{path} {_summary(values)}" for path, values in each.settings.items())
        own = f"its own settings in {each.own} searches" if each.own else ""
        budget = ", ".join(
            f"{count}: {each.expected[count - 1]:.4g}" for count in (1, 2, 4, 8, 16, 32) if count <= len(each.expected)
        )
        lines.append(f"  {each.arm}: {'; '.join(filter(None, (settings, own)))}; expected best of trials {budget}")
    return lines


def _summary(values: Sequence[Any]) -> str:
    from lab.study.experiment import describe_value

    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        return describe_value(low) if low == high else f"{describe_value(low)} to {describe_value(high)}"
    return " or ".join(dict.fromkeys(describe_value(value) for value in values))


def plot_expected(found: Sequence[TunedArm], metric: str) -> Figure:
    """Plot the expected best score of every arm against the number of trials."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for each in found:
        axes.plot(range(1, len(each.expected) + 1), each.expected, marker="o", markersize=4, label=each.arm)
    axes.set(xlabel="trials", ylabel=f"expected best {metric}")
    axes.legend(frameon=False)
    return figure


def sections(study: Any, runs: Sequence[Any]) -> list[Section]:
    """Return the section on tuning; none for studies that are not tuned."""
    from lab import Section
    from lab.report.pieces import figure_html
    from lab.study.results import Results

    if RULE not in getattr(study, "rules", {}):
        return []
    results = Results(study, list(study.all_arms), runs)
    found = tuned_arms(study, results)
    if not found:
        return []
    text = "\n".join(describe(study, results))
    plot = figure_html(plot_expected(found, tuning_metric(study)), "expected best score against the number of trials")
    return [Section("Tuned arms", text, f"<pre>{html.escape(text)}</pre>{plot}", weight=-15)]
