"""A comparison as the paragraph of a paper that says how it was made, and the references of its methods as BibTeX."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.errors import StoreError
from lab.study.compare import SIGN_FLIP, WELCH, single_level
from lab_report.tables import escape_latex

if TYPE_CHECKING:
    from lab.study.compare import ArmComparison
    from lab.study.record import StudyRecord
    from lab.study.results import Results

__all__ = ["as_bibtex", "as_methods", "references_of"]

SOURCES = "initial weights, order of the batches, dropout, augmentation and every other random choice of training"
MAX_SEEDS_LISTED = 10

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
    "gelman2014": (
        "article",
        "Gelman, Andrew and Carlin, John",
        "Beyond power calculations: Assessing type {S} (sign) and type {M} (magnitude) errors",
        {
            "journal": "Perspectives on Psychological Science",
            "volume": "9",
            "number": "6",
            "pages": "641--651",
            "year": "2014",
        },
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
    """Return the keys of the methods that a comparison used, in the order of the paragraph."""
    rules = _rules(results)
    judged = [row.comparison for row in results.compare() if row.comparison is not None]
    tests = {each.test for each in judged}
    keys = ["student1908", "sidak1967"] if tests != {WELCH} else []
    keys += ["welch1947"] if WELCH in tests else []
    keys += ["fisher1935"] if SIGN_FLIP in tests else []
    keys += ["schuirmann1987"] if results.margin else []
    seeds = rules.get("seeds", {})
    keys += ["obrien1979" if seeds.get("boundary") == "obrien_fleming" else "pocock1977"] if seeds.get("levels") else []
    keys += ["melis2018", "dodge2019"] if "tune" in rules else []
    keys += ["dersimonian1986", "hartung2001", "agarwal2021", "demsar2006"] if "across" in rules else []
    keys += ["bouthillier2021"] if "sources" in rules or "across" in rules else []
    keys += ["gelman2014"] if any(not math.isnan(each.exaggeration) for each in judged) else []
    return keys


def as_bibtex(results: Results) -> str:
    """Return the references of the methods that a comparison used."""
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
        _test_sentence(results, [row.comparison for row in rows if row.comparison is not None]),
        *_design_sentences(results),
        _failure_sentence(results),
        *(escape_latex(f"{text[:1].upper()}{text[1:]}.") for text in remarks),
        _machine_sentence(results),
    ]
    # as comments: the paragraph is LaTeX, and what it says of the results is for the author to write
    verdicts = [f"% {row.name}: {row.comparison.verdict}" for row in rows if row.comparison is not None]
    return "\n".join([" ".join(filter(None, sentences)), "", *verdicts])


def _arms_sentence(results: Results) -> str:
    names = [name for name in results.leading_arms() if results.base_of(name) != name]
    direction = {True: "higher is better", False: "lower is better", None: "no direction is known"}
    metric = results.study.compare
    split = {"valid": "the validation split", "test": "the test split"}.get(metric.partition("_")[0], "")
    return (
        f"We compared {len(names)} variant{'s' * (len(names) != 1)} ({escape_latex('; '.join(names))}) "
        "with a common base "
        f"by {escape_latex(metric)}{f' on {split}' if split else ''} ({direction[results.direction(metric)]})."
    )


def _seeds_sentence(results: Results, record: StudyRecord | None) -> str:
    counts = sorted({len(results.scores(name, results.study.compare)) for name in results.leading_arms()})
    seeds = sorted({run.seed for run in results.runs if run.arm in results.leading_arms()})
    listed = f" (seeds {', '.join(map(str, seeds))})" if len(seeds) <= MAX_SEEDS_LISTED else ""
    number = f"{counts[0]} times" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} times"
    if record is None or not record.base or "task" in record.base:
        return f"Each was run {number}{listed}; runs with the same seed form pairs."
    vary = record.base.get("vary")
    varied = SOURCES if vary is None else ", ".join(vary) or "nothing"
    return (
        f"Each was trained {number}{listed}; between seeds varied: {varied}. The data and their split were the same "
        "for all seeds, and runs of two variants with the same seed form a pair: they saw the same batches in "
        "the same order."
    )


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


def _test_sentence(results: Results, found: Sequence[ArmComparison]) -> str:
    tested = sum(each.n > 1 for each in found)
    by_test: dict[str, list[str]] = {}
    for each in found:
        by_test.setdefault(each.test, []).append(each.arm)
    apart, equal = (escape_latex(", ".join(by_test.get(test, []))) for test in (WELCH, SIGN_FLIP))
    parts = []
    if not apart or len(by_test.get(WELCH, [])) < tested:
        parts.append(
            "Differences are means over pairs, with Student's intervals \\citep{student1908}"
            f"; the intervals of all {tested} comparisons hold together with 95\\,\\% \\citep[correction "
            f"of][]{{sidak1967}}, each at level {single_level(tested):.3g}."
        )
    if apart:
        parts.append(
            f"Runs of {apart} and of the base do not form pairs, and their difference is that of independent samples "
            "with unequal variances \\citep{welch1947}."
        )
    if equal:
        parts.append(
            f"All pairs of {equal} differ by the same amount, so that there is no interval, and the exact test that "
            "exchanges the arms of each pair decides \\citep{fisher1935}."
        )
    text = "A variant is called better or worse if its interval leaves out zero"
    if results.margin:
        text += (
            f", and equivalent if it lies within $\\pm${results.margin:g} "
            "(two one-sided tests, \\citealp{schuirmann1987})"
        )
    return " ".join([*parts, f"{text}."])


def _design_sentences(results: Results) -> list[str]:
    rules = _rules(results)
    found = []
    seeds = rules.get("seeds", {})
    if seeds.get("levels"):
        levels = (
            "the levels of the looks rise as in \\citet{obrien1979}"
            if seeds.get("boundary") == "obrien_fleming"
            else "every look has the same level \\citep{pocock1977}"
        )
        found.append(
            f"Seeds were added until every variant was decided, from {seeds['smallest']} to {seeds['largest']}; "
            f"{levels}, found by simulation such that all together keep 95\\,\\%."
        )
    if "tune" in rules:
        rule = rules["tune"]
        found.append(
            f"Every variant was also tuned ({escape_latex(', '.join(rule['space']))}) with {rule['trials']} trials"
            f"{' for each seed' if rule['per_seed'] else ''}, on seeds that the comparison does not use "
            "\\citep{melis2018,dodge2019}."
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
