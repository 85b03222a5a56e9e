"""Methods and rules of this plugin refuse wrong arguments as every other mistake of a study is refused."""

from __future__ import annotations

from typing import Any

import pytest
from lab_statistics import until_decided

from lab import Study, log, use
from lab.errors import StudyError
from tests.kernel.toys import experiment

RIGHT: dict[str, dict[str, Any]] = {
    "splits": {"path": "dataset.seed", "valid_share": 0.2},
    "across": {"path": "dataset", "levels": {"one": "points", "other": "toy"}},
    "match": {"budget": "parameters", "width": "architecture.width", "multiple_of": 1},
    "tune": {
        "space": {"lr": log(1e-3, 1.0)},
        "trials": 3,
        "per_arm": True,
        "per_seed": True,
        "searcher": "quasi_random",
        "seed": 0,
    },
    "retrain": {"seeds": 3},
    "sources": {"split": "dataset.seed", "splits": 3},
    "until_decided": {"smallest": 3, "largest": 5, "alpha": 0.05, "step": 1, "boundary": "pocock"},
}
WRONG = [None, 2.5, [1], ["a"], {1: 2}, {"a"}, object(), float("nan"), 10**400, b"x", use("mlp"), [[1]], -1]


def call(name: str, **options: Any) -> Study:
    if name == "until_decided":
        return Study(experiment(), seeds=until_decided(**options))
    if name == "retrain":
        return Study(experiment(), seeds=1).search({"lr": log(1e-3, 1.0)}, trials=3).retrain(**options)
    study = Study(experiment(), seeds=3).swap("optimizer", {"sgd": "sgd"})
    return getattr(study, name)(**options)


@pytest.mark.parametrize("name", RIGHT)
def test_a_value_of_a_wrong_type_is_refused_by_name_and_never_raises_another_error(name: str) -> None:
    assert isinstance(call(name, **RIGHT[name]), Study)
    for argument in RIGHT[name]:
        for value in WRONG:
            # a large step or budget of any size is sound
            if (argument, value) == ("step", 10**400):
                continue
            with pytest.raises(StudyError) as caught:
                call(name, **{**RIGHT[name], argument: value})
            assert str(caught.value).strip()


@pytest.mark.parametrize("names", [(5,), (["init"],), ({},), ("inti",)])
def test_a_source_that_is_no_name_is_refused(names: tuple[Any, ...]) -> None:
    with pytest.raises(StudyError, match="source"):
        Study(experiment(), seeds=3).sources(*names)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("splits", {"path": "dataset.seed"}, r"splits: missing a required argument: 'valid_share'"),
        ("splits", {}, r"signature: splits\(path, \*, valid_share\)"),
        ("match", {"widht": "x"}, r"match: got an unexpected keyword argument 'widht'\n  did you mean: width\?"),
        ("tune", {"trails": 3, "space": {}}, r"did you mean: trials\?"),
        (
            "until_decided",
            {"larges": 3},
            r"until_decided: got an unexpected keyword argument(.|\n)*did you mean: largest",
        ),
    ],
)
def test_a_missing_or_misspelt_argument_is_told_with_the_signature(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        call(name, **options)


def test_two_equal_levels_of_across_are_told_as_across_takes_names() -> None:
    with pytest.raises(StudyError) as caught:
        Study(experiment(), seeds=3).across("dataset", ["points", "points"])
    assert "two levels are called 'points'\n  name them yourself: across('dataset', {name: ...})" in str(caught.value)
