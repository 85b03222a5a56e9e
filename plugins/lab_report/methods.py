"""A comparison as the paragraph of a paper that says how it was made, and the references of its methods as BibTeX."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.errors import StoreError
from lab.study.compare import (
    LEVEL,
    MIN_SEEDS,
    SEED,
    SIGN_FLIP,
    WELCH,
    level_of_look,
    looks_of_rule,
    single_level,
)
from lab.study.folds import FOLDS
from lab.study.study import SEEDS
from lab_report.tables import escape_latex

if TYPE_CHECKING:
    from lab.study.compare import ArmComparison
    from lab.study.record import StudyRecord
    from lab.study.results import Results

__all__ = ["as_bibtex", "as_methods", "references_of"]

SOURCES = "initial weights, order of the batches, dropout, augmentation and every other random choice of training"
MAX_SEEDS_LISTED = 10
FEW = {0: "no seed", 1: "one seed", 2: "two seeds"}
"""Seeds of a comparison that are too few for an interval → their number in words."""

CITATION = re.compile(r"\\cite\w*(?:\[[^\]]*\])*\{([^}]+)\}")

BIBTEX = {
    "student1908": (
        "article",
        "Student",
        "The probable error of a mean",
        {"journal": "Biometrika", "volume": "6", "number": "1", "pages": "1--25", "year": "1908"},
    ),
    "sidak1967": (
        "article",
        r"{\v{S}}id{\'a}k, Zbyn{\v{e}}k",
        "Rectangular confidence regions for the means of multivariate normal distributions",
        {
            "journal": "Journal of the American Statistical Association",
            "volume": "62",
            "number": "318",
            "pages": "626--633",
            "year": "1967",
        },
    ),
    "welch1947": (
        "article",
        "Welch, Bernard L.",
        "The generalization of `Student's' problem when several different population variances are involved",
        {"journal": "Biometrika", "volume": "34", "number": "1--2", "pages": "28--35", "year": "1947"},
    ),
    "fisher1935": (
        "book",
        "Fisher, Ronald A.",
        "The design of experiments",
        {"publisher": "Oliver and Boyd", "address": "Edinburgh", "year": "1935"},
    ),
    "schuirmann1987": (
        "article",
        "Schuirmann, Donald J.",
        "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence of "
        "average bioavailability",
        {
            "journal": "Journal of Pharmacokinetics and Biopharmaceutics",
            "volume": "15",
            "number": "6",
            "pages": "657--680",
            "year": "1987",
        },
    ),
    "nadeau2003": (
        "article",
        "Nadeau, Claude and Bengio, Yoshua",
        "Inference for the generalization error",
        {"journal": "Machine Learning", "volume": "52", "number": "3", "pages": "239--281", "year": "2003"},
    ),
    "pocock1977": (
        "article",
        "Pocock, Stuart J.",
        "Group sequential methods in the design and analysis of clinical trials",
        {"journal": "Biometrika", "volume": "64", "number": "2", "pages": "191--199", "year": "1977"},
    ),
    "obrien1979": (
        "article",
        "O'Brien, Peter C. and Fleming, Thomas R.",
        "A multiple testing procedure for clinical trials",
        {"journal": "Biometrics", "volume": "35", "number": "3", "pages": "549--556", "year": "1979"},
    ),
    "melis2018": (
        "inproceedings",
        "Melis, G{\\'a}bor and Dyer, Chris and Blunsom, Phil",
        "On the state of the art of evaluation in neural language models",
        {"booktitle": "International Conference on Learning Representations", "year": "2018"},
    ),
    "dodge2019": (
        "inproceedings",
        "Dodge, Jesse and Gururangan, Suchin and Card, Dallas and Schwartz, Roy and Smith, Noah A.",
        "Show your work: Improved reporting of experimental results",
        {"booktitle": "Proceedings of EMNLP-IJCNLP", "pages": "2185--2194", "year": "2019"},
    ),
    "dersimonian1986": (
        "article",
        "DerSimonian, Rebecca and Laird, Nan",
        "Meta-analysis in clinical trials",
        {"journal": "Controlled Clinical Trials", "volume": "7", "number": "3", "pages": "177--188", "year": "1986"},
    ),
    "hartung2001": (
        "article",
        "Hartung, Joachim and Knapp, Guido",
        "On tests of the overall treatment effect in meta-analysis with normally distributed responses",
        {"journal": "Statistics in Medicine", "volume": "20", "number": "12", "pages": "1771--1782", "year": "2001"},
    ),
    "demsar2006": (
        "article",
        "Dem{\\v{s}}ar, Janez",
        "Statistical comparisons of classifiers over multiple data sets",
        {"journal": "Journal of Machine Learning Research", "volume": "7", "pages": "1--30", "year": "2006"},
    ),
    "agarwal2021": (
        "inproceedings",
        "Agarwal, Rishabh and Schwarzer, Max and Castro, Pablo Samuel and Courville, Aaron C. and Bellemare, Marc",
        "Deep reinforcement learning at the edge of the statistical precipice",
        {"booktitle": "Advances in Neural Information Processing Systems", "volume": "34", "year": "2021"},
    ),
    "bouthillier2021": (
        "inproceedings",
        "Bouthillier, Xavier and others",
        "Accounting for variance in machine learning benchmarks",
        {"booktitle": "Proceedings of Machine Learning and Systems", "volume": "3", "year": "2021"},
    ),
}


def _rules(results: Results) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(results.study, "rules", {})
    return found


def references_of(results: Results) -> list[str]:
    """Return the keys that the paragraph cites, in its order."""
    text = " ".join([_test_sentence(results), *_design_sentences(results)])
    return list(dict.fromkeys(key for keys in CITATION.findall(text) for key in keys.split(",")))


def as_bibtex(results: Results, metric: str = "") -> str:
    """Return the references of the methods that a comparison used.

    Args:
        results: the study.
        metric: that arms are compared by; the primary one if empty.
    """
    results = results.judged_by(metric) if metric else results
    return "\n\n".join(_entry(key, *BIBTEX[key]) for key in references_of(results))


def _entry(key: str, kind: str, author: str, title: str, fields: Mapping[str, str]) -> str:
    rows = {"author": author, "title": title, **fields}
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in rows.items())
    return f"@{kind}{{{key},\n{lines}\n}}"


def as_methods(results: Results, record: StudyRecord | None, metric: str = "", remarks: Sequence[str] = ()) -> str:
    """Return the paragraph for a paper: seeds, what varied, selection, tests, corrections, looks, failures, machine.

    Args:
        results: the study.
        record: as recorded; None for results from elsewhere, of which less is known.
        metric: that arms are compared by; the primary one if empty.
        remarks: what else must be said, such as looks that were not planned.
    """
    results = results.judged_by(metric) if metric else results
    rows = results.compare()
    sentences = [
        _arms_sentence(results),
        _seeds_sentence(results, record),
        _selection_sentence(results),
        _test_sentence(results),
        *_design_sentences(results),
        _failure_sentence(results),
        *(escape_latex(f"{text[:1].upper()}{text[1:]}.") for text in remarks),
        _machine_sentence(results),
    ]
    # as comments: the paragraph is LaTeX, and what it says of the results is for the author to write
    verdicts = [f"% {row.name}: {row.comparison.verdict}" for row in rows if row.comparison is not None]
    return "\n".join([" ".join(filter(None, sentences)), "", *verdicts])


def _arms_sentence(results: Results) -> str:
    names: dict[str, list[str]] = {}
    for name in results.leading_arms():
        if results.base_of(name) != name:
            names.setdefault(results.base_of(name), []).append(name)
    direction = {True: "higher is better", False: "lower is better", None: "no direction is known"}
    metric = results.study.compare
    split = {"valid": "the validation split", "test": "the test split"}.get(metric.partition("_")[0], "")
    measure = f"by {escape_latex(metric)}{f' on {split}' if split else ''} ({direction[results.direction(metric)]})."
    if not names:
        return f"We measured one configuration, without a comparison, {measure}"
    # tuned arms and those of further datasets have bases of their own
    bases = {base: "a common base" if len(names) == 1 else f"``{escape_latex(base)}''" for base in names}
    groups = [f"{_variants(arms)} with {bases[base]}" for base, arms in names.items()]
    return f"We compared {_listed(groups)} {measure}"


def _variants(names: Sequence[str]) -> str:
    return f"{len(names)} variant{'s' * (len(names) != 1)} ({escape_latex('; '.join(names))})"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _times(least: int, most: int) -> str:
    if least != most:
        return f"{least} to {most} times"
    return {1: "once", 2: "twice"}.get(most, f"{most} times")


def _seeds_sentence(results: Results, record: StudyRecord | None) -> str:
    counts = [len(results.scores(name, results.study.compare)) for name in results.leading_arms()]
    own = {name: {run.seed for run in results.runs if run.arm == name} for name in results.leading_arms()}
    seeds = sorted(set().union(*own.values()))
    noun = f"seed{'s' * (len(seeds) != 1)}"
    # arms with seeds of their own were not run with all of these
    is_shared = any(set(seeds) == each for each in own.values())
    listed = f" ({noun} {', '.join(map(str, seeds))})" if is_shared and 0 < len(seeds) <= MAX_SEEDS_LISTED else ""
    number = _times(min(counts), max(counts))
    rule = _rules(results).get("splits") or _rules(results).get(FOLDS)
    own_split = f"every seed had a split of its own of the data ({escape_latex(rule.get('path', ''))})" if rule else ""
    if results.folds:
        repetitions = len({seed // results.folds for seed in seeds})
        again = f", made {_times(repetitions, repetitions)} with other partitions" if repetitions > 1 else ""
        own_split = f"the runs of each were those of a cross-validation with {results.folds} folds{again}"
    form_pairs = "runs of two variants with the same seed form a pair"
    if not results.paired:
        return f"Each was {'run' if record is None else 'trained'} {number}{listed}; seeds are taken for unrelated."
    if record is None or not record.base or "task" in record.base:
        pairs = [own[name] & own[results.base_of(name)] for name in own if results.base_of(name) != name]
        has_pairs = results.paired and any(pairs)
        parts = [f"Each was run {number}{listed}", *([own_split] if rule else [])]
        return "; ".join([*parts, *(["runs with the same seed form pairs"] if has_pairs else [])]) + "."
    if "sources" in _rules(results):
        # an arm whose order is held sees other batches than the base's run with the same seed
        return f"Each was trained {number}{listed}; {form_pairs}."
    saw = "they saw the same"
    batches = "the same batches in the same order"
    if len(seeds) < 2:
        return f"Each was trained {number}{listed}; {form_pairs}: {saw} data, the same split and {batches}."
    vary = record.base.get("vary")
    varied = [*(["the split of the data"] if rule else []), *([SOURCES] if vary is None else vary)]
    text = f"Each was trained {number}{listed}; between seeds varied: {escape_latex(', '.join(varied)) or 'nothing'}."
    if rule:
        return f"{text} {own_split[:1].upper()}{own_split[1:]}, and {form_pairs}: {saw} split and {batches}."
    subject = "On each dataset the data" if "across" in _rules(results) else "The data"
    return f"{text} {subject} and their split were the same for all seeds, and {form_pairs}: they saw {batches}."


def _selection_sentence(results: Results) -> str:
    rules = Counter(
        (str(rule.get("rule")), str(rule.get("monitor")))
        for run in results.runs
        if run.status == "finished" and isinstance(rule := run.yardstick.get("selection"), dict)
    )
    if not rules:
        return ""
    if all(rule == "last" for rule, _ in rules):
        return "We report the weights of the last epoch."
    monitors = ", ".join(sorted({monitor for rule, monitor in rules if rule == "best"}))
    same = results.chosen_on_reported_split(results.leading_arms(), results.study.compare)
    remark = ", on the examples that are reported, so all values are optimistic" if same else ""
    return f"We report the weights of the epoch with the best {escape_latex(monitors)}{remark}."


def _test_sentence(results: Results) -> str:
    """Return the sentences on intervals, tests, their levels, and comparisons that have none."""
    found = [row.comparison for row in results.compare() if row.comparison is not None]
    enough = [each for each in found if each.n >= MIN_SEEDS]
    intervals = [each for each in enough if math.isfinite(each.low)]
    apart = [each for each in intervals if each.test == WELCH]
    # equal scores in every pair have an interval without width, and nothing is left to test
    same = [each for each in intervals if each.test == SIGN_FLIP]
    equal = [each for each in enough if each.test == SIGN_FLIP and math.isfinite(each.p) and each not in intervals]
    paired = [each for each in intervals if each not in apart and each not in same]
    rest = [each for each in enough if each not in intervals and each not in equal]
    parts = []
    if paired:
        plural = "s" * (len(paired) > 1)
        parts.append(f"Differences are means over pairs, with Student's interval{plural} \\citep{{student1908}}.")
    overlap = (_rules(results).get(FOLDS) or _rules(results).get("splits", {})).get("overlap", 0.0)
    if paired and overlap:
        parts_that_share, each = ("Training parts of folds", "folds") if results.folds else ("Splits", "seeds")
        parts.append(
            f"{parts_that_share} share examples, so intervals are widened: the variance of a mean over $n$ {each} is "
            f"$1/n + {overlap:.3g}$ times that of a difference, where {overlap:.3g} is the number of validation "
            "examples per training example \\citep{nadeau2003}."
        )
    if apart:
        parts.append(
            f"Runs of {_names(results, apart)} and of the base do not form pairs, and their difference is that of "
            "independent samples with unequal variances \\citep{welch1947}."
        )
    if same:
        parts.append(f"In every pair {_names(results, same)} had the score of the base.")
    if equal:
        parts.append(
            f"All pairs of {_names(results, equal)} differ by the same amount, so that there is no interval, and the "
            "exact test that exchanges the arms of each pair decides \\citep{fisher1935}."
        )
    if paired or apart or equal:
        parts.append(_level_sentence(results, found, [*paired, *apart, *equal], are_tests=not (paired or apart)))
    for n, words in FEW.items():
        if few := [each for each in found if each.n == n]:
            whose = "" if len(few) == len(found) else f" for {_names(results, few)}"
            counted = words.replace(SEED, results.unit)
            parts.append(f"With {counted}{' in common' * bool(whose)} there is no interval and no verdict{whose}.")
    if rest:
        parts.append(f"There is no interval and no verdict for {_names(results, rest)}.")
    if paired or apart:
        text = "A variant is called better or worse if its interval leaves out zero"
        if results.margin:
            text += (
                f", and equivalent if it lies within $\\pm${results.margin:g} "
                "(two one-sided tests, \\citealp{schuirmann1987})"
            )
        parts.append(f"{text}.")
    return " ".join(parts)


def _names(results: Results, found: Sequence[ArmComparison]) -> str:
    """Return the names of arms; a search names only those of its tables."""
    shown = set(results.leading_arms())
    names = [each.arm for each in found if each.arm in shown] or ["the other trials"]
    return escape_latex("; ".join(names))


def _level_sentence(
    results: Results, found: Sequence[ArmComparison], judged: Sequence[ArmComparison], *, are_tests: bool
) -> str:
    """Return the sentence on the levels of these comparisons, corrected for their number and for looks."""
    rule = _rules(results).get(SEEDS, {})
    looks = looks_of_rule(rule)
    effects = results.effects()
    # refused comparisons, which have no difference, do not widen the intervals of the others
    count = sum(each.n > 1 and math.isfinite(each.difference) for each in found) + len(effects)
    counts = {each.n for each in judged} | {each.n for each in effects if math.isfinite(each.low)}
    levels = sorted({f"{level_of_look(single_level(count), looks, n):.3g}" for n in counts}, key=float)
    text = (
        f"level {levels[0]}" if len(levels) == 1 else f"levels from {levels[0]} to {levels[-1]} by the number of seeds"
    )
    if looks:
        text += (
            ", which is corrected for the looks too" if len(levels) == 1 else ", which are corrected for the looks too"
        )
    noun = "test" if are_tests else "interval"
    if count == 1:
        return f"The {noun} of the only comparison holds with {_confidence(rule)}, at {text}."
    share = f" ({len(effects)} of them effects of the grid)" if effects else ""
    return (
        f"The {noun}s of all {count} comparisons{share} hold together with {_confidence(rule)} \\citep[correction "
        f"of][]{{sidak1967}}, each at {text}."
    )


def _confidence(rule: Mapping[str, Any]) -> str:
    """Return the confidence of all comparisons together, as LaTeX; a rule of seeds may have another than 95 %."""
    alpha = float(rule.get("alpha", LEVEL)) if rule.get("levels") else LEVEL
    return f"{100 * (1 - alpha):g}\\,\\%"


def _design_sentences(results: Results) -> list[str]:
    rules = _rules(results)
    found = []
    seeds = rules.get(SEEDS, {})
    if seeds.get("levels"):
        levels = (
            "the levels of the looks rise as in \\citet{obrien1979}"
            if seeds.get("boundary") == "obrien_fleming"
            else "every look has the same level \\citep{pocock1977}"
        )
        found.append(
            f"Seeds were added until every variant was decided, from {seeds['smallest']} to {seeds['largest']}; "
            f"{levels}, found by simulation such that all together keep {_confidence(seeds)}."
        )
    if "tune" in rules:
        rule = rules["tune"]
        tuned = "The base and every variant were" if rule["per_arm"] else "The base was"
        given = "" if rule["per_arm"] else ", and its settings were given to every variant"
        found.append(
            f"{tuned} also tuned ({escape_latex(', '.join(rule['space']))}) with {rule['trials']} trials"
            f"{' for each seed' if rule['per_seed'] else ''}, on seeds that the comparison does not use"
            f"{given} \\citep{{melis2018,dodge2019}}; tuned variants are compared with the tuned base."
        )
    if "match" in rules:
        rule = rules["match"]
        budget = rule["budget"]
        how = f"by scaling {escape_latex(rule['width'])}" if budget == "parameters" else "by its number of epochs"
        found.append(
            f"Every variant whose {budget} differed from those of the base was also trained with the {budget} of the "
            f"base, {how}."
        )
    if "retrain" in rules and results.study.searching is not None:
        found.append(
            f"The best of {results.study.searching.trials} trials of a search was trained again, as was the base, with "
            f"{rules['retrain']['seeds']} seeds that the search does not use; only this comparison is judged."
        )
    if "across" in rules:
        rule = rules["across"]
        found.append(
            f"The question was asked on {len(rule['levels'])} levels of {escape_latex(rule['path'])} "
            f"({escape_latex(', '.join(rule['levels']))}); "
            "effects are pooled by random effects \\citep{dersimonian1986,hartung2001}, with interquartile means "
            "\\citep{agarwal2021}, the probability of improvement \\citep{bouthillier2021} and ranks "
            "\\citep{demsar2006}."
        )
    if "sources" in rules:
        arms = escape_latex("; ".join(rules["sources"]["arms"].values()))
        found.append(
            f"Between the seeds of the base varied: {SOURCES}; between those of {arms} one source of randomness alone, "
            "for its share of the variance \\citep{bouthillier2021}."
        )
    return found


def _failure_sentence(results: Results) -> str:
    shown = set(results.leading_arms())
    lost = Counter(run.outcome for run in results.failed if run.arm in shown)
    if not lost:
        return "All runs finished."
    total = sum(run.arm in shown for run in results.runs)
    return (
        f"{lost.total()} of {total} runs did not finish "
        f"({', '.join(f'{count} {what}' for what, count in lost.items())}); "
        "variants whose failures differ from the base's get no verdict."
    )


def _machine_sentence(results: Results) -> str:
    """Return hardware and versions, of as many kinds as the runs were made with."""
    machines: Counter[str] = Counter()
    for run in results.runs:
        if run.status == "finished":
            try:
                machines[_machine(run.environment())] += 1
            except StoreError:
                continue
    machines.pop("", None)
    if not machines:
        return ""
    texts = [f"{text} ({count} runs)" if len(machines) > 1 else text for text, count in machines.most_common()]
    return f"Runs were made with {'; '.join(texts)}."


def _machine(environment: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    versions = [f"{name} {packages[name]}" for name in ("lab-ablation", "lab", "torch") if name in packages]
    machine = environment.get("machine")
    parts = [*versions, f"Python {environment['python']}" if "python" in environment else ""]
    if isinstance(machine, Mapping):
        threads = f" with {machine['threads']} of {machine['cores']} cores" if "threads" in machine else ""
        parts.append(f"on {environment.get('gpu') or environment.get('device', 'cpu')}{threads}")
        parts.append(str(machine.get("platform", "")))
    return escape_latex(", ".join(filter(None, parts)))
