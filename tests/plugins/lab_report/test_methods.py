"""The paragraph of a paper says how a comparison was made, and its references are those of the methods used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result
from lab_report.methods import BIBTEX, as_bibtex, as_methods, references_of

from lab.cli.main import cli
from lab.study.compare import level_of_look, looks_of_rule, single_level
from lab.study.record import read_study
from lab.study.results import Results
from lab.study.store import Store
from lab.study.study import Arm
from tests.kernel.stored_study import FIGURES, store_study


@pytest.fixture
def lab(tmp_path: Path):
    def lab(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path)])

    return lab


def paragraph(root: Path, *, rules: Mapping[str, Any] | None = None, **stored: Any) -> tuple[str, Results]:
    """The paragraph of a stored study with these rules, and its results."""
    store_study(root, **stored)
    record = read_study(Store(root), "toy")
    results = attrs.evolve(record, study=attrs.evolve(record.study, rules=rules or {})).results(Store(root))
    return as_methods(results, record), results


def test_the_paragraph_names_arms_seeds_what_varied_and_the_tests(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    text = lab("compare", "toy", "--format", "methods").stdout
    assert "We compared 2 variants (wide; sgd) with a common base by valid\\_accuracy on the validation split" in text
    assert "Each was trained 4 times (seeds 0, 1, 2, 3); between seeds varied: initial weights, order" in text
    assert "The intervals of all 2 comparisons hold together with 95\\,\\%" in text
    assert "each at level 0.0253" in text
    assert "All runs finished." in text
    assert "% wide: better by 0.207 ± 0.031 (4 of 4 seeds)" in text


def test_a_margin_and_failures_are_told(lab, tmp_path: Path) -> None:
    store_study(tmp_path, failed=("sgd",))
    text = lab("compare", "toy", "--format", "methods", "--margin", "0.05").stdout
    assert r"equivalent if it lies within $\pm$0.05 (two one-sided tests, \citealp{schuirmann1987})" in text
    assert "4 of 12 runs did not finish (4 failed)" in text


def test_what_varied_is_that_of_the_experiment(tmp_path: Path) -> None:
    store_study(tmp_path)
    record = read_study(Store(tmp_path), "toy")
    held = attrs.evolve(record, base={**record.base, "vary": ["init", "order"]})
    assert "between seeds varied: init, order." in as_methods(record.results(Store(tmp_path)), held)


def test_every_citation_of_the_paragraph_has_its_entry(tmp_path: Path) -> None:
    store_study(tmp_path)
    record = read_study(Store(tmp_path), "toy")
    rules = {
        "seeds": {"smallest": 3, "largest": 9, "levels": [[0.05, 0.0118]]},
        "tune": {"space": {"lr": {}}, "trials": 8, "per_arm": True, "per_seed": True},
        "across": {"levels": ["a", "b"], "path": "dataset"},
    }
    results = attrs.evolve(record, study=attrs.evolve(record.study, rules=rules, margin=0.01)).results(Store(tmp_path))
    text = as_methods(results, record)
    cited = {key for keys in re.findall(r"\\cite\w*(?:\[[^\]]*\])*\{([^}]+)\}", text) for key in keys.split(",")}
    assert cited == set(references_of(results)) <= set(BIBTEX)
    assert {"pocock1977", "dodge2019", "hartung2001", "schuirmann1987"} <= cited
    bibtex = as_bibtex(results)
    assert bibtex.count("@") == len(references_of(results))
    assert bibtex.count("{") == bibtex.count("}")


def test_looks_that_rise_are_those_of_obrien_and_fleming(tmp_path: Path) -> None:
    store_study(tmp_path)
    record = read_study(Store(tmp_path), "toy")
    rule = {"smallest": 3, "largest": 9, "boundary": "obrien_fleming", "levels": {"3": [[0.05, 0.001]]}}
    study = attrs.evolve(record.study, rules={"seeds": rule})
    results = attrs.evolve(record, study=study).results(Store(tmp_path))
    assert "the levels of the looks rise as in \\citet{obrien1979}" in as_methods(results, record)
    assert "obrien1979" in references_of(results)
    assert "pocock1977" not in references_of(results)


def test_bibtex_has_only_what_was_used(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    output = lab("compare", "toy", "--format", "bibtex").stdout
    assert re.findall(r"@\w+\{(\w+),", output) == ["student1908", "sidak1967"]


def test_bibtex_has_the_references_of_the_metric_that_is_compared(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    # the losses of all arms are equal, so that nothing is tested
    arguments = ("compare", "toy", "--metric", "valid_loss", "--format")
    assert "In every pair wide; sgd had the score of the base." in lab(*arguments, "methods").stdout
    assert lab(*arguments, "bibtex").stdout.strip() == ""


def test_results_from_elsewhere_claim_no_batches_and_no_machine(lab, tmp_path: Path) -> None:
    rows = [f"{arm},{seed},{value}" for arm, values in FIGURES.items() for seed, value in enumerate(values)]
    (tmp_path / "r.csv").write_text("\n".join(["arm,seed,accuracy", *rows]))
    text = lab("compare", str(tmp_path / "r.csv"), "--metric", "accuracy", "--higher-is-better", "--format", "methods")
    assert "Each was run 4 times (seeds 0, 1, 2, 3); runs with the same seed form pairs." in text.stdout
    assert "batches" not in text.stdout
    assert "Runs were made with" not in text.stdout


def test_splits_of_every_seed_are_told_with_the_widening_and_its_reference(tmp_path: Path) -> None:
    rules = {"splits": {"path": "dataset.split_seed", "overlap": 0.25}}
    text, results = paragraph(tmp_path, rules=rules)
    assert "between seeds varied: the split of the data, initial weights, order" in text
    assert "Every seed had a split of its own of the data (dataset.split\\_seed)" in text
    assert "they saw the same split and the same batches" in text
    assert "their split were the same" not in text
    assert "the variance of a mean over $n$ seeds is $1/n + 0.25$ times that of a difference" in text
    assert "\\citep{nadeau2003}" in text
    assert references_of(results) == ["student1908", "nadeau2003", "sidak1967"]
    assert "@article{nadeau2003," in as_bibtex(results)


def test_without_splits_there_is_no_widening(tmp_path: Path) -> None:
    text, results = paragraph(tmp_path)
    assert "The data and their split were the same for all seeds" in text
    assert "widened" not in text
    assert "nadeau2003" not in references_of(results)


def test_one_seed_has_no_interval_and_no_verdict(tmp_path: Path) -> None:
    text, results = paragraph(tmp_path, figures={arm: values[:1] for arm, values in FIGURES.items()})
    assert "Each was trained once (seed 0); runs of two variants with the same seed form a pair" in text
    assert "With one seed there is no interval and no verdict." in text
    for absent in ("between seeds", "hold together", "level", "better or worse"):
        assert absent not in text
    assert references_of(results) == []


def test_two_seeds_have_no_interval_and_no_verdict(tmp_path: Path) -> None:
    text, results = paragraph(tmp_path, figures={arm: values[:2] for arm, values in FIGURES.items()})
    assert "Each was trained twice (seeds 0, 1); between seeds varied:" in text
    assert "With two seeds there is no interval and no verdict." in text
    for absent in ("hold together", "level", "better or worse"):
        assert absent not in text
    assert references_of(results) == []


def test_only_the_variants_with_few_seeds_lack_an_interval(tmp_path: Path) -> None:
    text, _ = paragraph(tmp_path, figures={**FIGURES, "sgd": FIGURES["sgd"][:2]})
    assert "With two seeds in common there is no interval and no verdict for sgd." in text
    assert "with Student's interval \\citep{student1908}" in text


def test_one_comparison_needs_no_correction(tmp_path: Path) -> None:
    text, results = paragraph(tmp_path, figures={arm: FIGURES[arm] for arm in ("base", "wide")})
    assert "We compared 1 variant (wide) with a common base" in text
    assert "The interval of the only comparison holds with 95\\,\\%, at level 0.05." in text
    assert references_of(results) == ["student1908"]


@pytest.mark.parametrize("boundary", ["pocock", "obrien_fleming"])
def test_the_level_of_a_sequential_study_is_that_of_its_looks(tmp_path: Path, boundary: str) -> None:
    pairs = [[0.0253, 0.004], [0.05, 0.011]]
    levels = pairs if boundary == "pocock" else {"3": [[0.0253, 0.0005], [0.05, 0.001]], "4": pairs}
    rule = {"name": "until_decided", "smallest": 3, "largest": 4, "alpha": 0.05, "boundary": boundary, "levels": levels}
    figures = {**FIGURES, "sgd": FIGURES["sgd"][:3]}
    text, _ = paragraph(tmp_path, rules={"seeds": rule}, figures=figures)
    least, most = (level_of_look(single_level(2), looks_of_rule(rule), n) for n in (3, 4))
    assert "level 0.0253" not in text
    if boundary == "pocock":
        assert f"each at level {most:.3g}, which is corrected for the looks too." in text
    else:
        assert f"each at levels from {least:.3g} to {most:.3g} by the number of seeds, which are corrected" in text


def test_the_confidence_is_that_of_the_rule_of_seeds(tmp_path: Path) -> None:
    rule = {"smallest": 3, "largest": 9, "alpha": 0.1, "levels": [[0.05, 0.0312]]}
    text, _ = paragraph(tmp_path, rules={"seeds": rule})
    assert "hold together with 90\\,\\%" in text
    assert "such that all together keep 90\\,\\%" in text
    assert "95\\,\\%" not in text


def with_bases(root: Path, rules: Mapping[str, Any], bases: Mapping[str, str]) -> str:
    """The paragraph of a stored study whose arms have these bases."""
    # keys of stored runs are cut, so long names that end alike would share one
    names = {f"arm{number}": arm for number, arm in enumerate(bases)}
    figures = {short: FIGURES["wide" if "wide" in arm else "base"] for short, arm in names.items()}
    _, results = paragraph(root, rules=rules, figures=figures)
    runs = [attrs.evolve(run, arm=names[run.arm]) for run in results.runs]
    arms = [Arm(arm, base=base) for arm, base in bases.items()]
    return as_methods(Results(results.study, arms, runs), read_study(Store(root), "toy"))


@pytest.mark.parametrize("per_arm", [True, False])
def test_tuned_variants_have_the_tuned_base(tmp_path: Path, per_arm: bool) -> None:
    rules = {"tune": {"space": {"lr": {}}, "trials": 8, "per_arm": per_arm, "per_seed": True}}
    bases = {"base": "", "wide": "", "base, tuned": "", "wide, tuned": "base, tuned"}
    text = with_bases(tmp_path, rules, bases)
    assert "common base" not in text
    assert "2 variants (wide; base, tuned) with ``base'' and 1 variant (wide, tuned) with ``base, tuned'' by" in text
    assert "tuned variants are compared with the tuned base" in text
    assert ("The base and every variant were also tuned (lr)" in text) == per_arm
    assert ("The base was also tuned (lr)" in text) == (not per_arm)
    assert ("its settings were given to every variant" in text) == (not per_arm)


def test_every_dataset_has_its_own_base(tmp_path: Path) -> None:
    rules = {"across": {"levels": ["a", "b"], "path": "dataset"}}
    text = with_bases(tmp_path, rules, {"base": "", "wide": "", "base on b": "base on b", "wide on b": "base on b"})
    assert "common base" not in text
    assert "1 variant (wide) with ``base'' and 1 variant (wide on b) with ``base on b'' by" in text
    assert "On each dataset the data and their split were the same for all seeds" in text


def test_no_test_decides_for_a_variant_without_a_verdict(tmp_path: Path) -> None:
    # without a grid, equal differences have no spread; one seed of sgd failed
    figures = {"base": [0.50123457, 0.52345679, 0.51456789, 0.53987654]}
    figures |= {"wide": [value + 0.1 for value in figures["base"]], "sgd": [value + 0.2 for value in figures["base"]]}
    _, results = paragraph(tmp_path, figures=figures)
    assert "All pairs of wide; sgd differ by the same amount" in as_methods(results, None)
    runs = [
        attrs.evolve(run, status="failed", result={}) if (run.arm, run.seed) == ("sgd", 3) else run
        for run in results.runs
    ]
    text = as_methods(Results(results.study, results.arms, runs), None)
    assert "sgd: no verdict: not the same seeds failed in both arms" in text
    assert "All pairs of wide differ by the same amount" in text
    assert "There is no interval and no verdict for sgd." in text
    assert "The tests of all 2 comparisons hold together" in text


def test_equal_scores_need_no_test(tmp_path: Path) -> None:
    text, results = paragraph(tmp_path, figures={**FIGURES, "sgd": FIGURES["base"]})
    assert "sgd" in text
    assert "fisher1935" not in references_of(results)


def test_sources_that_vary_alone_are_named_with_their_reference(tmp_path: Path) -> None:
    rules = {"sources": {"arms": {"init": "wide", "order": "sgd"}, "splits": []}}
    text, results = paragraph(tmp_path, rules=rules)
    assert "between those of wide; sgd one source of randomness alone, for its share" in text
    assert "runs of two variants with the same seed form a pair. " in text
    assert "same batches" not in text
    assert references_of(results) == ["student1908", "sidak1967", "bouthillier2021"]


def test_effects_of_a_grid_count_in_the_level(tmp_path: Path) -> None:
    cells = {"base": ("a", "c"), "wide": ("b", "c"), "sgd": ("a", "d"), "both": ("b", "d")}
    _, results = paragraph(tmp_path, figures={**FIGURES, "both": [0.71, 0.70, 0.75, 0.73]})
    arms = [Arm(arm, factors={"width": width, "optimizer": other}) for arm, (width, other) in cells.items()]
    text = as_methods(Results(results.study, arms, results.runs), None)
    assert "all 6 comparisons (3 of them effects of the grid) hold together" in text
    assert f"each at level {single_level(6):.3g}." in text
