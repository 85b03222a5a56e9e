"""Arms with the base's budget: parameters, steps, seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lab_statistics.matching import closest_width, describe, sections
from torch import nn

from lab import Study, use
from lab.errors import LabError, StudyError
from lab.registry.plugins import Catalog
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.store import Store
from tests.kernel.toys import experiment, plugin_module


def narrow(*, units: int = 2) -> None:
    raise NotImplementedError


def test_the_closest_width_is_that_of_trying_all() -> None:
    def count(width: int) -> float:
        return 3 * width * width + 7 * width

    for target in (1, 500, 5_000, 123_456):
        best = min(range(1, 500), key=lambda width: abs(count(width) - target))
        assert closest_width(64, target, count) == best


def test_a_list_of_widths_is_scaled_as_a_whole() -> None:
    assert closest_width([64, 32], 2_000, lambda widths: widths[0] * widths[1]) == [63, 32]


def test_widths_stay_multiples() -> None:
    assert closest_width(64, 5_000, lambda width: width * width, 8) == 72


def test_a_model_that_takes_no_width_is_told() -> None:
    with pytest.raises(LabError, match=r"no width near 64 gives a model(.|\n)*multiple_of="):
        closest_width(64, 5_000, lambda width: float("nan"))


def test_a_wider_arm_is_also_trained_with_the_parameters_of_the_base(catalog: Catalog, tmp_path: Path) -> None:
    base = experiment(epochs=1, architecture=use("line", width=4))
    study = Study(base, seeds=3, name="matched").swap("architecture.width", {"wide": 8})
    study = study.match("parameters", width="architecture.width")
    results = run_study(study, runs=tmp_path, catalog=catalog)
    names = [row.name for row in results.compare()]
    assert names == ["base", "wide", "wide, same parameters"]
    counts = [results.scores(name, "parameters")[0] for name in names]
    assert counts[1] > counts[0] == counts[2]
    # the same width as the base's: the very same training
    assert "no difference: the same score in every one of 3 seeds" in results.compare()[2].comparison.verdict
    (section,) = sections(results.study, results.runs)
    assert section.text.splitlines()[1].endswith("with architecture.width = 4 +0.0%")
    read = read_study(Store(tmp_path), "matched")
    assert read.others == {}
    assert describe(read.study, read.results(Store(tmp_path))) == section.text.splitlines()
    again = run_study(study, runs=tmp_path, catalog=catalog)
    assert [run.key for run in again.runs] == [run.key for run in results.runs]


def test_an_arm_with_other_batches_gets_the_steps_of_the_base(catalog: Catalog, tmp_path: Path) -> None:
    base = experiment(epochs=2)
    study = Study(base, seeds=1, name="steps").swap("batch_size", {"small": max(1, base.batch_size // 2)})
    results = run_study(study.match("steps"), runs=tmp_path, catalog=catalog)
    steps = [results.scores(arm.name, "steps")[0] for arm in results.arms]
    assert steps[1] > steps[0] == steps[2]


def test_an_arm_of_more_epochs_gets_the_seconds_of_the_base(catalog: Catalog, tmp_path: Path) -> None:
    study = Study(experiment(epochs=1), seeds=1, name="seconds").swap("epochs", {"long": 60}).match("seconds")
    results = run_study(study, runs=tmp_path, catalog=catalog)
    matched = next(arm for arm in results.arms if arm.name == "long, same seconds")
    assert 1 <= matched.changes["epochs"] < 60


def test_an_arm_that_no_other_number_of_epochs_brings_closer_stays_as_it_is(catalog: Catalog, tmp_path: Path) -> None:
    base = experiment(epochs=1)
    study = Study(base, seeds=1, name="close").swap("batch_size", {"smaller": base.batch_size - 1}).match("steps")
    results = run_study(study, runs=tmp_path, catalog=catalog)
    assert [arm.name for arm in results.arms] == ["base", "smaller"]
    first, second = (results.scores(arm.name, "steps")[0] for arm in results.arms)
    assert second > first * 1.01
    assert describe(results.study, results)[1].endswith("as it is; no other number of epochs is closer")


class Nothing(nn.Module):
    """Predicts zero: there is nothing to train, as with counted n-grams."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(inputs), 1, requires_grad=True)


def test_an_arm_without_weights_has_no_matched_form(catalog: Catalog, tmp_path: Path) -> None:
    catalog.add_module(plugin_module("zeros", lab_architectures={"zero": Nothing}), "zeros", "1.0")
    study = Study(experiment(epochs=4), seeds=1, name="zero")
    study = study.grid({"architecture": {"line": "line", "zero": "zero"}, "epochs": {"long": 4, "short": 1}})
    results = run_study(study.match("steps"), runs=tmp_path, catalog=catalog)
    matched = [arm.name for arm in results.arms if arm.trial is not None]
    assert matched == ["short, same steps"]
    lines = describe(results.study, results)
    assert any("zero + short: " in line and "it has no weights to train" in line for line in lines)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("architecture.widht", r"match, architecture\.widht: (.|\n)*did you mean: width"),
        ("architectur.width", r"match, architectur\.width: (.|\n)*did you mean: architecture"),
        ("lr", r"match, lr: not a whole number above 0, nor a list of them: 0\.05"),
        ("architecture", "match, architecture: not a whole number"),
    ],
)
def test_a_path_that_is_no_width_is_told_before_anything_is_trained(
    path: str, message: str, catalog: Catalog, tmp_path: Path
) -> None:
    study = Study(experiment(epochs=1, lr=0.05), seeds=1, name="matched").swap("batch_size", {"small": 8})
    with pytest.raises(StudyError, match=message):
        run_study(study.match("parameters", width=path), runs=tmp_path, catalog=catalog)
    assert not list(tmp_path.rglob("result.json"))


def test_an_arm_that_lacks_the_width_is_named_before_anything_is_trained(catalog: Catalog, tmp_path: Path) -> None:
    catalog.add_module(plugin_module(lab_architectures={"narrow": narrow}), "more", "1.0")
    study = Study(experiment(epochs=1), seeds=1, name="matched").swap("architecture", {"other": "narrow"})
    with pytest.raises(
        StudyError, match=r"arm 'other': match, architecture\.width: (.|\n)*unexpected parameter 'width'"
    ):
        run_study(study.match("parameters", width="architecture.width"), runs=tmp_path, catalog=catalog)
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize(
    ("budget", "options", "message"),
    [
        ("flops", {}, "the budget is one of parameters, steps, seconds, not 'flops'"),
        ("parameters", {}, r"match\('parameters', width=...\): the path of a width is empty"),
        ("steps", {"width": "architecture.width"}, "steps are matched by epochs, not by a width"),
        ("steps", {"multiple_of": 0}, "multiple_of of match must be at least 1, not 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(budget: str, options: dict[str, Any], message: str) -> None:
    study = Study(experiment(), seeds=3).swap("architecture.width", {"wide": 8})
    with pytest.raises(StudyError, match=message):
        study.match(budget, **options)


def test_a_study_without_arms_or_with_other_rules_is_refused() -> None:
    with pytest.raises(StudyError, match="match needs arms"):
        Study(experiment(), seeds=3).match("steps")
    tuned = Study(experiment(), seeds=3).swap("architecture.width", {"wide": 8}).tune({"lr": [0.1, 0.2]}, trials=2)
    with pytest.raises(StudyError, match="match goes with arms of swap, remove and grid alone"):
        tuned.match("steps")


def test_a_training_function_is_not_matched() -> None:
    def train(run: Any, width: int = 4) -> None:
        raise NotImplementedError

    with pytest.raises(StudyError, match="lab does not know the width or the epochs of a training function"):
        Study(train, seeds=3).swap("width", {"wide": 8}).match("steps")
