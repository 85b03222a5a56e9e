"""Searching settings: rounds of trials over the ordinary run store."""

from __future__ import annotations

import attrs
import pytest

from lab import Study, log, use
from lab.errors import StudyError
from lab.study.execute import run_study
from lab.study.record import read_study
from lab.study.space import Options, Range, read_space
from lab.study.store import Store
from tests.kernel.toys import experiment, plugin_module


class Ladder:
    """Proposes shares 0.1, 0.2, … of every range, and notes what it was told."""

    told: list[list[float | None]] = []  # noqa: RUF012 (the tests read it)

    def propose(self, space, seen, count, seed):
        Ladder.told.append([trial.value for trial in seen])
        shares = [0.1 * (len(seen) + index + 1) for index in range(count)]
        return [{path: choice.at(share) for path, choice in space.items()} for share in shares]


@pytest.fixture(autouse=True)
def _forget():
    Ladder.told = []


@pytest.fixture
def search(catalog, tmp_path):
    def search(space=None, *, changes=None, seeds=1, **options):
        study = Study(experiment(epochs=4, **(changes or {})), seeds=seeds, name="found")
        settings = {"trials": 5, "batch": 2, "searcher": use(Ladder), **options}
        study = study.search(space or {"lr": log(1e-4, 1e-1)}, **settings)
        return run_study(study, runs=tmp_path / "runs", catalog=catalog)

    return search


def _arms(results):
    return [arm.name for arm in results.arms]


def test_trials_come_in_rounds_that_have_heard_of_all_before(search):
    results = search()
    assert _arms(results) == ["base", *(f"trial {number}" for number in range(5))]
    assert [len(values) for values in Ladder.told] == [0, 2, 4]
    first = results.scores("trial 0", "valid_loss")[0]
    assert Ladder.told[-1][0] == first


def test_a_finished_search_is_only_read(search):
    first = search()
    again = search()
    assert [run.key for run in first.runs] == [run.key for run in again.runs]
    assert [run.result for run in first.runs] == [run.result for run in again.runs]


def test_a_search_grows_by_trials(search):
    short, long = search(trials=2), search(trials=5)
    assert [run.key for run in long.runs][:3] == [run.key for run in short.runs]


def test_a_search_that_was_interrupted_goes_on_where_it_stopped(search, catalog):
    seen = []

    def lab_run_started(run):
        seen.append(run.key)
        if len(seen) == 4:
            raise KeyboardInterrupt

    catalog.add_module(plugin_module("stop", lab_run_started=lab_run_started), "stop")
    with pytest.raises(KeyboardInterrupt):
        search()
    catalog.remove("stop")
    results = search()
    assert len(results.runs) == 6
    assert not results.failed


def test_a_searcher_is_told_the_direction_of_the_figure(search, catalog, tmp_path):
    class Skill:
        higher_is_better = True

        def reset(self) -> None:
            self.value = 0.0

        def update(self, output, target) -> None:
            self.value = 1.0

        def compute(self) -> float:
            return self.value

    study = Study(experiment(metrics=[use(Skill)]), seeds=1, name="skill", compare="valid_Skill")
    study = study.search({"lr": (0.01, 0.1)}, trials=3, batch=2, searcher=use(Ladder))
    figures = run_study(study, runs=tmp_path / "runs", catalog=catalog).metric_names
    name = next(figure for figure in figures if "kill" in figure)
    assert name == "valid_Skill"
    assert Ladder.told[-1] == [-1.0, -1.0]


def test_a_trial_that_fails_is_told_as_failed_and_the_search_goes_on(search):
    results = search({"lr": [0.01, 1e30]}, trials=4, batch=2, searcher=use(Ladder))
    assert len(results.runs) == 5
    assert {run.status for run in results.runs} <= {"finished", "failed"}


def test_options_may_be_components_with_names_of_ones_own(search):
    results = search({"callbacks": {"quiet": ["nothing"], "loud": [use("nothing", amount=3.0)]}}, trials=8, batch=8)
    settings = [arm.trial.settings["callbacks"] for arm in results.arms if arm.trial]
    assert set(settings) == {"quiet", "loud"}


def test_rungs_train_the_best_third_for_longer(search):
    results = search(trials=6, batch=6, rungs=(1, 2))
    rungs = [arm.trial.rung for arm in results.arms if arm.trial]
    assert rungs == [0] * 6 + [1] * 2 + [2]
    epochs = {arm.name: len(_run(results, arm.name).history()) for arm in results.arms}
    assert epochs["trial 0 for 1 epochs"] == 1
    assert epochs["base"] == 4
    last = results.arms[-1]
    assert epochs[last.name] == 4
    best = min(range(6), key=lambda number: results.scores(f"trial {number} for 1 epochs", "valid_loss")[0])
    promoted = {arm.trial.number for arm in results.arms if arm.trial and arm.trial.rung == 1}
    assert best in promoted


def _run(results, arm):
    return next(run for run in results.runs if run.arm == arm)


def test_the_record_of_a_search_gives_its_space_and_trials_back(search, tmp_path):
    results = search({"lr": log(1e-4, 1e-1), "architecture.bias": [True, False]})
    record = read_study(Store(tmp_path / "runs"), "found")
    assert record.study.searching.space["lr"] == Range(1e-4, 1e-1, is_log=True)
    assert list(record.study.searching.space["architecture.bias"].values) == ["bias", "no bias"]
    assert [arm.trial for arm in record.arms] == [arm.trial for arm in results.arms]
    assert record.results(Store(tmp_path / "runs")).leading_arms() == results.leading_arms()


def test_tables_show_the_base_and_the_best_trials(search):
    results = search({"lr": (0.001, 0.1)}, trials=14, batch=14, searcher=use(Spread))
    leading = results.leading_arms()
    assert leading[0] == "base"
    assert len(leading) == 11
    values = [results.scores(name, "valid_loss")[0] for name in leading[1:]]
    assert values == sorted(values)


class Spread(Ladder):
    """Fourteen different shares."""

    def propose(self, space, seen, count, seed):
        return [{path: choice.at(index / 14) for path, choice in space.items()} for index in range(count)]


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ({}, "a search needs a space: {path: (low, high) or [one, another]}"),
        ({"lr": (1, 2, 3)}, "search, lr: a pair of numbers is a range, a list is options; got (1, 2, 3)"),
        ({"lr": (2.0, 1.0)}, "search, lr: a range must rise, got 2.0 to 1.0"),
        ({"lr": [0.1]}, "search, lr: there is nothing to choose between: give two options or more"),
        ({"lr": 0.1}, "search, lr: give a pair of numbers, a list, or log(low, high); got 0.1"),
    ],
)
def test_a_space_that_is_none_is_told_when_it_is_made(space, problem):
    with pytest.raises(StudyError) as error:
        read_space(space)
    assert problem in str(error.value)


def test_a_logarithmic_range_must_begin_above_nothing():
    with pytest.raises(Exception, match="a logarithmic range begins above 0, got 0"):
        log(0, 1)


def test_every_corner_of_the_space_is_checked_before_the_first_trial(search):
    with pytest.raises(StudyError) as error:
        search({"architecture.widht": (1, 8), "batch_size": (0, 16)})
    text = str(error.value)
    assert "search, architecture.widht: " in text
    assert "did you mean: width?" in text
    assert "search, batch_size: batch_size must be at least 1, not 0" in text
    assert Ladder.told == []


def test_an_unknown_searcher_is_told_before_the_first_trial(search):
    with pytest.raises(StudyError, match="unknown searcher 'best'"):
        search(searcher="best")


def test_rungs_must_stay_below_the_bases_epochs(search):
    with pytest.raises(StudyError, match=r"rungs must stay below the base's 4 epochs, got \(2, 4\)"):
        search(rungs=(2, 4))


@pytest.mark.parametrize(
    ("choice", "values"),
    [
        (Range(0.0, 2.0), [0.0, 1.0, 2.0]),
        (Range(1, 5, is_whole=True), [1, 3, 5]),
        (log(1, 100), [1, 10, 100]),
        (log(1e-4, 1e-2), [1e-4, 1e-3, 1e-2]),
    ],
)
def test_a_range_lies_along_a_line(choice, values):
    assert [choice.at(share) for share in (0.0, 0.5, 1.0)] == pytest.approx(values)
    assert [choice.at(choice.share(value)) for value in values] == pytest.approx(values)


def test_an_option_is_found_where_it_lies():
    choice = Options({"a": 1, "b": 2, "c": 3})
    assert [choice.at(share) for share in (0.0, 0.5, 1.0)] == ["a", "b", "c"]
    assert [choice.at(choice.share(name)) for name in "abc"] == ["a", "b", "c"]


def test_arms_of_ones_own_stay_beside_the_trials(catalog, tmp_path):
    study = Study(experiment(), seeds=1, name="both").swap("architecture.width", [3])
    study = study.search({"lr": (0.01, 0.1)}, trials=2, searcher=use(Ladder))
    results = run_study(study, runs=tmp_path / "runs", catalog=catalog)
    assert _arms(results) == ["base", "width=3", "trial 0", "trial 1"]


def test_seeds_of_a_trial_are_averaged(search):
    results = search(seeds=2, trials=2, batch=1)
    values = results.scores("trial 0", "valid_loss")
    assert Ladder.told[-1] == [pytest.approx(sum(values.values()) / 2)]
    assert attrs.asdict(results.arms[1].trial)["number"] == 0
