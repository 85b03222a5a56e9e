"""The paragraph of a paper says how a comparison was made, and its references are those of the methods used."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result
from lab_report.methods import BIBTEX, as_bibtex, as_methods, references_of

from lab.cli.main import cli
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.stored_study import FIGURES, store_study


@pytest.fixture
def lab(tmp_path: Path):
    def lab(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [*arguments, "--runs", str(tmp_path)])

    return lab


def test_the_paragraph_names_arms_seeds_what_varied_and_the_tests(lab, tmp_path: Path) -> None:
    store_study(tmp_path)
    text = lab("compare", "toy", "--format", "methods").stdout
    assert "We compared 2 variants (wide; sgd) with a common base by valid\\_accuracy on the validation split" in text
    assert "Each was trained 4 times (seeds 0, 1, 2, 3); between seeds varied: initial weights, order" in text
    assert "the intervals of all 2 comparisons hold together with 95\\,\\%" in text
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
        "tune": {"space": {"lr": {}}, "trials": 8, "per_seed": True},
        "across": {"levels": ["a", "b"], "path": "dataset"},
    }
    results = attrs.evolve(record, study=attrs.evolve(record.study, rules=rules, margin=0.01)).results(Store(tmp_path))
    text = as_methods(results, record)
    cited = {key for keys in re.findall(r"\\cite\w*(?:\[[^\]]*\])*\{([^}]+)\}", text) for key in keys.split(",")}
    assert cited <= set(references_of(results)) <= set(BIBTEX)
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
    assert re.findall(r"@\w+\{(\w+),", output) == ["student1908", "sidak1967", "gelman2014"]


def test_results_from_elsewhere_claim_no_batches_and_no_machine(lab, tmp_path: Path) -> None:
    rows = [f"{arm},{seed},{value}" for arm, values in FIGURES.items() for seed, value in enumerate(values)]
    (tmp_path / "r.csv").write_text("\n".join(["arm,seed,accuracy", *rows]))
    text = lab("compare", str(tmp_path / "r.csv"), "--metric", "accuracy", "--higher-is-better", "--format", "methods")
    assert "Each was run 4 times (seeds 0, 1, 2, 3); runs with the same seed form pairs." in text.stdout
    assert "batches" not in text.stdout
    assert "Runs were made with" not in text.stdout
