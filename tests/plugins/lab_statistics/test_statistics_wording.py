"""Preregistered rules are written out in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lab_statistics import until_decided
from lab_statistics.preregistration import FILE, departures, preregister
from lab_statistics.wording import rules_in_words

from lab import Study, log, use
from lab.cli.main import cli
from lab.registry.plugins import Catalog
from tests.kernel.toys import experiment


def plain(**options: Any) -> Study:
    base = experiment(architecture=use("line", width=4))
    return Study(base, name="plan", **{"seeds": 3, **options}).swap("optimizer", {"sgd": "sgd"})


def search() -> Study:
    return Study(experiment(), seeds=1, name="plan").search({"lr": log(1e-3, 1.0)}, trials=20, searcher="random")


STUDIES: dict[str, tuple[Study, list[str]]] = {
    "until_decided": (
        plain(seeds=until_decided(smallest=3, largest=9, step=2, alpha=0.1, boundary="obrien_fleming")),
        [
            "seeds: results are looked at after every 2 seeds from 3 to 9",
            "wrong in at most 10% of studies without a true difference",
            "the levels of the looks rise (O'Brien & Fleming)",
            "verdict: an arm is better or worse in valid_loss if its paired Student interval leaves out zero; "
            "intervals of all arms hold together with 90% at every look (Šidák)",
        ],
    ),
    "tune": (
        plain(compare="test_loss").tune({"lr": log(0.01, 1.0), "batch_size": [8, 16]}, trials=6, per_arm=False),
        [
            "tune: the base is also tuned over lr (0.01 to 1, log), batch_size (batch_size=8, batch_size=16), with 6 "
            "trials by quasi_random (seed 0) in a search of its own for each seed, and its settings are given to every "
            "arm; the best by valid_loss, on seeds from 1,000,000 on, is trained with the seeds of the study, and "
            "tuned arms are compared with the tuned base",
        ],
    ),
    "match": (
        plain().match("parameters", width="architecture.width", multiple_of=4),
        [
            "match: every arm whose parameters differ from the base's by more than 1% is also trained with the base's "
            "parameters, by scaling architecture.width in multiples of 4, and compared with the base",
        ],
    ),
    "splits": (
        plain(margin=0.01).splits("dataset.seed", valid_share=0.2),
        [
            "splits: every seed has a split of its own (dataset.seed is the seed); intervals are widened",
            "0.25 validation examples per training example",
            "it is equivalent if its interval lies within ± 0.01",
        ],
    ),
    "across": (
        plain().across("dataset.n", {"few": 100, "many": 200}),
        ["across: the question is asked with 2 levels of dataset.n: few, many; arms are compared with the base at"],
    ),
    "sources": (
        plain().sources("init", "order", split="dataset.seed", splits=4),
        ["sources: one source of randomness at a time varies", "(init, order), and 4 splits are drawn"],
    ),
    "retrain": (
        search().retrain(seeds=5),
        [
            "search: 20 trials over lr (0.001 to 1, log) by random (seed 0)",
            "retrain: the best trial of the search and the base are trained again with 5 new seeds, from 2,000,000 on",
        ],
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_rule_of_this_plugin_has_words(name: str) -> None:
    from lab.study.record import search_content

    study, texts = STUDIES[name]
    plan = {"metric": study.compare, "rules": study.rules, "margin": study.margin}
    if study.searching is not None:
        plan["search"] = search_content(study.searching)
    words = "\n".join(rules_in_words(json.loads(json.dumps(plan))))
    for text in texts:
        assert text in words
    assert "{" not in words


def test_a_rule_of_another_plugin_is_shown_as_it_is_recorded() -> None:
    assert rules_in_words({"metric": "x", "rules": {"mine": {"a": 1}}})[0] == 'mine: {"a": 1}'


def test_a_registration_keeps_the_words_and_prints_them(tmp_path: Path) -> None:
    file = tmp_path / "pts.py"
    file.write_text(
        "from lab import Experiment, Study, use\n"
        'base = Experiment(dataset=use("points", count=100), architecture="mlp", loss="cross_entropy", epochs=1)\n'
        'study = Study(base, seeds=3).swap("lr", {"fast": 0.05}).tune({"lr": (0.1, 0.2)}, trials=2)\n'
    )
    output = CliRunner().invoke(cli, ["preregister", str(file), "--runs", str(tmp_path / "runs")]).output
    words = json.loads((tmp_path / "runs" / "pts" / FILE).read_text())["words"]
    assert [line.partition(":")[0] for line in words] == ["tune", "verdict"]
    for line in words:
        assert f"  {line}\n" in output


def test_other_rules_and_searches_are_departures_in_words(catalog: Catalog, tmp_path: Path) -> None:
    planned, done = (
        preregister(study, catalog, tmp_path / name, finished=0)["plan"]
        for name, study in (
            ("one", plain().match("parameters", width="architecture.width")),
            ("two", plain().match("steps")),
        )
    )
    (text,) = departures(planned, done)
    assert text.startswith("the rule match: every arm whose parameters differ")
    assert " → every arm whose steps differ" in text
    assert departures({**planned, "rules": {}}, planned)[0].startswith("the rule match: none → every arm")
    assert departures({**planned, "search": {"trials": 3}}, planned) == ['the search {"trials": 3} → null']
