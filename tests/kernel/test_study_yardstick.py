"""A verdict says what it rests on: the same validation examples, all runs, a direction, the epoch that was chosen."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from lab_report.tables import FORMATS, comparison_table
from torch import Tensor
from torch.utils.data import TensorDataset

from lab import Callback, Data, Learner, Study, use
from lab.errors import StudyError
from lab.report.cells import difference_cells, percent, score_cell
from lab.study.execute import run_study
from lab.study.results import Results
from lab.study.store import RunRecord
from lab.study.study import Arm
from lab.study.yardstick import split_fingerprint
from tests.kernel.toys import Points, experiment, points

# --- fingerprints of splits -------------------------------------------------------------------------------------------


def data(inputs: Tensor, targets: Any) -> Data:
    return Data(None, TensorDataset(inputs, targets), fingerprint="x")


INPUTS, TARGETS = torch.randn(50, 3), torch.arange(50)


def test_the_same_targets_have_one_fingerprint_however_inputs_are_prepared() -> None:
    assert split_fingerprint(data(INPUTS, TARGETS), "valid") == split_fingerprint(data(INPUTS / 2, TARGETS), "valid")


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [(INPUTS[:40], TARGETS[:40]), (INPUTS, TARGETS.flip(0)), (INPUTS, TARGETS.float()), (INPUTS, TARGETS[:, None])],
)
def test_other_targets_have_another_fingerprint(inputs: Tensor, targets: Tensor) -> None:
    assert split_fingerprint(data(INPUTS, TARGETS), "valid") != split_fingerprint(data(inputs, targets), "valid")


class Examples(torch.utils.data.Dataset[Any]):
    """Examples from a function."""

    def __init__(self, example: Callable[[int], Any]) -> None:
        self.example = example

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Any:
        return self.example(index)


@pytest.mark.parametrize(
    "example",
    [
        lambda index: {"text": f"ä{index}", "label": index},
        lambda index: (index, {"box": np.ones(2) * index, "none": None}),
        lambda index: (index, np.array([f"{index}"], dtype=object)),
        lambda index: (index, torch.tensor(index, dtype=torch.bfloat16)),
        lambda index: (index, torch.zeros(0)),
    ],
)
def test_targets_of_any_kind_have_fingerprints(example: Callable[[int], Any]) -> None:
    first, again = (Data(None, Examples(example), collate=list) for _ in range(2))
    other = Data(None, Examples(lambda index: example(index + 1)), collate=list)
    assert split_fingerprint(first, "valid") == split_fingerprint(again, "valid") != ""
    assert (split_fingerprint(other, "valid") != split_fingerprint(first, "valid")) is (example(0) is not None)


def test_examples_that_are_random_have_none_and_disturb_no_generator() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    drawn = Data(None, Examples(lambda index: (index, torch.rand(2) + np.random.rand())))
    assert split_fingerprint(drawn, "valid") == ""
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


# --- results of made runs ---------------------------------------------------------------------------------------------

BASE = [1.00, 1.10, 0.95, 1.20, 1.05]
LOWER = [0.90, 0.95, 0.90, 1.00, 0.93]


def made(arms: Mapping[str, Sequence[float | str]], compare: str = "valid_loss", **yardsticks: Any) -> Results:
    """Results in which every arm has a score, or an error, for each seed; ``yardsticks`` by arm."""
    runs = []
    for arm, values in arms.items():
        for seed, value in enumerate(values):
            failed = isinstance(value, str)
            result: dict[str, Any] = {"kind": value, "error": value} if failed else {"metrics": {compare: value}}
            if arm in yardsticks and not failed:
                result |= yardsticks[arm]
            status = "failed" if failed else "finished"
            runs.append(RunRecord(f"{arm}{seed}", Path(), status, result, arm, seed))
    study = Study(experiment(), seeds=len(next(iter(arms.values()))), compare=compare, name="made")
    return Results(study, [Arm(name) for name in arms], runs)


def verdict(results: Results, arm: str = "arm") -> str:
    return next(row.comparison.verdict for row in results.compare() if row.name == arm and row.comparison)


def yardstick(**parts: Any) -> dict[str, Any]:
    return {"yardstick": parts}


def test_arms_with_other_validation_examples_get_no_verdict_and_no_difference() -> None:
    here, there = yardstick(splits={"valid": "a"}), yardstick(splits={"valid": "b"})
    results = made({"base": BASE, "arm": LOWER, "same": LOWER}, base=here, arm=there, same=here)
    row = results.compare()[1]
    assert row.comparison is not None
    assert verdict(results) == "not comparable: other validation examples"
    assert (row.comparison.is_better, difference_cells(row.comparison)[:2]) == (None, ("–", "–"))
    assert verdict(results, "same").startswith("better by 0.124")
    assert score_cell(row, "valid_loss") == "0.936 ± 0.042"


def test_only_the_split_of_the_metric_counts() -> None:
    here, there = yardstick(splits={"valid": "a", "test": "c"}), yardstick(splits={"valid": "b", "test": "c"})
    assert "better" in verdict(made({"base": BASE, "arm": LOWER}, "test_loss", base=here, arm=there))
    there = yardstick(splits={"valid": "a", "test": "d"})
    assert verdict(made({"base": BASE, "arm": LOWER}, "test_loss", base=here, arm=there)) == (
        "not comparable: other test examples"
    )


def test_steps_of_a_ladder_are_refused_by_the_arm_before() -> None:
    a, b = yardstick(splits={"valid": "a"}), yardstick(splits={"valid": "b"})
    rows = made({"base": BASE, "one": LOWER, "two": LOWER}, base=a, one=b, two=b).compare(stepwise=True)
    told = [row.comparison.verdict for row in rows if row.comparison]
    assert told == [
        "not comparable: other validation examples",
        "no difference: the same score in every one of 5 seeds",
    ]


def test_a_metric_without_direction_gets_no_verdict() -> None:
    results = made({"base": BASE, "arm": LOWER}, "rouge")
    assert verdict(results) == "no verdict: nothing says whether higher or lower rouge is better"
    declared = made({"base": BASE, "arm": LOWER}, "rouge", base={"higher_is_better": {"rouge": True}})
    assert verdict(declared).startswith("worse by 0.124")


def test_a_verdict_on_survivors_says_so_in_every_format() -> None:
    results = made({"base": BASE, "arm": [*LOWER[:3], "NonFiniteLossError", "ValueError"]})
    assert verdict(results) == ("no verdict: not the same seeds failed in both arms; 3 of 5 (base: 5 of 5) finished")
    row = results.compare()[1]
    assert (row.count, row.losses) == ("3 of 5", "1 diverged, 1 failed")
    for name, write in FORMATS.items():
        text = write(comparison_table(results))
        assert ("arm,5,3," if name == "csv" else "3 of 5") in text
        assert "no verdict: not the same seeds failed" in text
    assert "Finished: arm 3 of 5 (1 diverged, 1 failed)" in FORMATS["latex"](comparison_table(results))
    assert row.comparison is not None
    assert (row.comparison.is_better, math.isnan(row.comparison.low)) == (None, True)


def test_where_the_same_seeds_failed_in_both_arms_the_verdict_is_on_the_survivors() -> None:
    lost = "NonFiniteLossError"
    results = made({"base": [*BASE[:4], lost], "arm": [*LOWER[:4], lost]})
    assert verdict(results).startswith("better by ")
    assert verdict(results).endswith("; 4 of 5 finished; verdict on survivors only")


def test_an_arm_without_any_finished_run_has_no_verdict() -> None:
    results = made({"base": BASE, "arm": ["ValueError"] * 5})
    assert verdict(results) == "no seed in which both this arm and the base finished; 0 of 5 (base: 5 of 5) finished"


def test_a_nan_in_one_seed_of_an_arm_is_never_better() -> None:
    results = made({"base": BASE, "arm": [math.nan, *LOWER[1:]]})
    assert verdict(results) == "a score is not finite: nothing can be concluded"
    assert score_cell(results.compare()[1], "valid_loss") == "0.945 ± 0.042 (4 of 5)"


def test_an_undefined_score_says_why() -> None:
    reason = {"undefined": {"valid_auc": "only class 1"}, "higher_is_better": {"auc": True}}
    results = made({"base": BASE, "arm": [math.nan] * 5}, "valid_auc", arm=reason)
    assert verdict(results) == "valid_auc is undefined in some runs (only class 1): nothing can be concluded"
    assert score_cell(results.compare()[1], "valid_auc") == "undefined"
    assert "valid_auc of arm is undefined: only class 1" in results.caveats(results.compare())


def test_a_best_epoch_of_the_reported_split_is_said() -> None:
    best = yardstick(selection={"rule": "best", "monitor": "valid_loss"})
    results = made({"base": BASE, "arm": LOWER}, base=best, arm=best)
    assert verdict(results).endswith("(5 of 5 seeds); best epoch chosen on the split that is reported")
    caveat, _ = results.caveats(results.compare())
    assert caveat.startswith("the best epoch was chosen on the split that valid_loss is reported on")
    assert "best epoch" not in verdict(made({"base": BASE, "arm": LOWER}, "test_loss", base=best, arm=best))
    last = yardstick(selection={"rule": "last", "monitor": "valid_loss"})
    assert "best epoch" not in verdict(made({"base": BASE, "arm": LOWER}, base=last, arm=last))


def test_a_loss_that_depends_on_batches_is_said() -> None:
    cut = yardstick(depends_on_batches=True)
    results = made({"base": BASE, "arm": LOWER}, arm=cut)
    assert verdict(results).endswith("; valid_loss depends on how batches are cut")
    assert "batches" not in verdict(made({"base": BASE, "arm": LOWER}, "valid_accuracy", arm=cut))


def test_arms_whose_initial_weights_are_not_paired_are_named() -> None:
    paired, other = yardstick(parts=["encoder", "decoder"]), yardstick(parts=["body"])
    results = made({"base": BASE, "a": LOWER, "b": LOWER}, base=paired, a=paired, b=other)
    caveat, _ = results.caveats(results.compare())
    assert caveat.startswith("initial weights are not paired with those of base: b (")


def test_runs_of_older_versions_are_compared_without_a_word() -> None:
    results = made({"base": BASE, "arm": LOWER}, base=yardstick(splits={"valid": "a"}, parts=["x"]))
    assert verdict(results) == "better by 0.124 ± 0.069 (5 of 5 seeds)"
    (caveat,) = results.caveats(results.compare())
    assert caveat.startswith("5 seeds cannot show whether runs go badly now and then")


@pytest.mark.parametrize("value", [1e308, -1.7e308, math.inf, math.nan])
@pytest.mark.parametrize("name", list(FORMATS))
def test_any_number_can_be_written(value: float, name: str) -> None:
    results = made({"base": [value, value, 1.0], "arm": [1.0, value, value]})
    assert "arm" in FORMATS[name](comparison_table(results))


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (0.001, "<1%"), (0.5, "50%"), (0.9951, ">99%"), (1.0, "100%"), (math.nan, "–")]
)
def test_a_share_is_all_or_nothing_only_if_it_is(share: float, text: str) -> None:
    assert percent(share) == text


# --- real runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def answer(catalog: Any, tmp_path: Path) -> Callable[..., Results]:
    def answer(study: Study) -> Results:
        return run_study(study, runs=tmp_path, catalog=catalog)

    return answer


def small(**changes: Any) -> Study:
    options = {name: changes.pop(name) for name in ("compare", "selection", "seeds") if name in changes}
    return Study(experiment(**{"epochs": 1, **changes}), **{"seeds": 3, "name": "small", **options})


def test_a_swap_of_the_number_of_examples_is_not_comparable(answer: Callable[..., Results]) -> None:
    results = answer(small().swap("dataset.size", {"more": 48}))
    assert verdict(results, "more") == "not comparable: other validation examples"


def test_a_swap_of_something_else_is(answer: Callable[..., Results]) -> None:
    results = answer(small().swap("lr", {"less": 0.01}))
    assert "comparable" not in verdict(results, "less")
    assert results.runs[0].result["yardstick"]["selection"] == {"rule": "last", "monitor": "valid_loss"}


class Norm(Callback):
    """Declares the column that it adds."""

    metrics = {"distance": True}  # noqa: RUF012

    def after_validate(self, learner: Learner) -> None:
        learner.history[-1]["distance"] = float(learner.epochs_done)


def test_a_declared_column_is_compared_in_its_direction(answer: Callable[..., Results]) -> None:
    results = answer(small(callbacks=[Norm], compare="distance").swap("epochs", {"longer": 2}))
    assert results.is_higher_better("distance")
    assert "no verdict" not in verdict(results, "longer")


class Exploding(Callback):
    """Makes the weights not a number in the second of three runs, behind the last step."""

    def before_validate(self, learner: Learner) -> None:
        if learner.streams.seed_of_run == 1:
            next(learner.model.parameters()).data.fill_(math.nan)


def test_a_run_whose_validation_is_not_finite_has_diverged(answer: Callable[..., Results]) -> None:
    results = answer(small(metrics=["worst"], compare="valid_worst").swap("callbacks", {"exploding": [Exploding]}))
    assert [run.outcome for run in results.runs if run.arm == "exploding"] == ["finished", "diverged", "finished"]
    assert "not the same seeds failed" in verdict(results, "exploding")


def with_test(*, size: int = 24) -> Points:
    plain = points(size=size)
    plain.test = plain.valid
    return plain


def selected(results: Results) -> set[str]:
    return {run.result["yardstick"]["selection"]["rule"] for run in results.runs}


def test_a_study_chooses_the_epoch(answer: Callable[..., Results], tmp_path: Path) -> None:
    changes = {"dataset": with_test, "epochs": 3, "seeds": 1}
    assert selected(answer(small(**changes, selection="last", checkpoint=use("checkpoint", select="best")))) == {"last"}
    best = answer(small(**changes, selection="best").swap("lr", {"less": 0.01}))
    assert selected(best) == {"best"}
    assert "the split that valid_loss is reported on" in "".join(best.caveats(best.compare()))
    valid = answer(small(**changes, selection="valid", compare="test_loss").swap("lr", {"less": 0.01}))
    assert selected(valid) == {"best"}
    assert "reported" not in "".join(valid.caveats(valid.compare()))
    assert json.loads((tmp_path / "small" / "study.json").read_text())["selection"] == "valid"


def test_a_selection_must_be_known_and_must_not_be_reported_on_its_own_split(catalog: Any) -> None:
    assert small(selection="first").problems(catalog) == [
        "selection must be one of 'last', 'best', 'valid', not 'first'"
    ]
    [problem] = small(selection="valid").problems(catalog)
    assert problem == (
        "selection='valid' chooses the epoch on the validation split, and the study compares valid_loss\n"
        "  compare a metric of the test split: compare='test_loss'"
    )


def test_a_selection_on_the_validation_split_needs_a_test_split(answer: Callable[..., Results]) -> None:
    with pytest.raises(StudyError, match="compares 'test_loss', but the data has no test split"):
        answer(small(selection="valid", compare="test_loss"))


@pytest.mark.parametrize("margin", [0, -0.1, math.nan, math.inf, True, "0.1"])
def test_a_margin_is_a_positive_number(margin: Any) -> None:
    with pytest.raises(StudyError, match="margin is a difference in valid_loss above 0"):
        Study(experiment(), margin=margin)


def test_a_margin_gives_three_verdicts_for_the_primary_metric() -> None:
    results = made({"base": BASE, "arm": [1.0131, 1.1082, 0.9613, 1.2074, 1.0491], "lower": LOWER})
    results.study = attrs.evolve(results.study, margin=0.02)
    close, lower = (row.comparison for row in results.compare()[1:])
    assert close is not None
    assert lower is not None
    assert (close.is_equivalent, close.is_better) == (True, None)
    assert close.verdict.startswith("equivalent within ± 0.02: +0.00")
    assert lower.is_better
