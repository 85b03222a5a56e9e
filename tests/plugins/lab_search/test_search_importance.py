"""Known answers: planted functions whose important settings are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from click.testing import CliRunner
from lab_search.importance import Boxes, importances
from lab_search.plots import plot_effects, plot_importances
from lab_search.report import describe
from lab_search.searchers import QuasiRandom

from lab.cli.main import cli
from lab.errors import LabError, StoreError
from lab.study.space import ObservedTrial, Options, Range

SPACE = {
    "lr": Range(1e-4, 1.0, is_log=True),
    "dropout": Range(0.0, 0.5),
    "layers": Range(1, 8, is_whole=True),
    "sampler": Options({"shuffle": "shuffle", "sort": "sort", "sortish": "sortish"}),
}


def _trials(function, count=80, noise=0.02):
    """Trials whose figure is a function of the settings, each as its share of the range."""
    generator = np.random.default_rng(0)
    settings = QuasiRandom().propose(SPACE, [], count, seed=1)
    shares = [{path: SPACE[path].share(value) for path, value in each.items()} for each in settings]
    return [
        ObservedTrial(each, float(function(share) + noise * generator.normal()))
        for each, share in zip(settings, shares, strict=True)
    ]


def test_settings_are_ranked_as_they_were_planted():
    found = importances(SPACE, _trials(lambda at: 4 * (at["lr"] - 0.5) ** 2 + 0.5 * at["layers"]))
    assert [setting.path for setting in found.settings[:2]] == ["lr", "layers"]
    assert found.settings[0].permutation > 3 * found.settings[1].permutation
    assert found.explained > 0.7


def test_settings_without_influence_have_intervals_around_nothing():
    found = importances(SPACE, _trials(lambda at: 4 * (at["lr"] - 0.5) ** 2))
    for setting in found.settings[1:]:
        assert setting.permutation_interval[0] < 0.02
        assert setting.variance < 0.1


def test_explained_variances_are_those_of_the_planted_sum():
    found = importances(SPACE, _trials(lambda at: 2 * at["lr"] + at["dropout"], count=250, noise=0.0))
    shares = {setting.path: setting.variance for setting in found.settings}
    assert shares["lr"] == pytest.approx(0.8, abs=0.08)
    assert shares["dropout"] == pytest.approx(0.2, abs=0.08)


def test_an_interaction_is_found_where_neither_setting_matters_alone():
    found = importances(
        SPACE, _trials(lambda at: np.sign(at["lr"] - 0.5) * np.sign(at["dropout"] - 0.5), count=250, noise=0.0)
    )
    strongest = found.interactions[0]
    assert set(strongest.paths) == {"lr", "dropout"}
    assert strongest.variance > 0.5
    assert strongest.variance > 5 * found.interactions[1].variance


def test_options_can_matter():
    worse = {"shuffle": 0.0, "sort": 1.0, "sortish": 0.1}
    trials = [ObservedTrial(trial.settings, worse[trial.settings["sampler"]]) for trial in _trials(lambda at: 0.0)]
    found = importances(SPACE, trials)
    assert found.settings[0].path == "sampler"
    effect = found.effects["sampler"]
    assert dict(zip(effect.values, effect.means, strict=True))["sort"] == pytest.approx(1.0, abs=0.15)


def test_where_nothing_matters_the_error_says_so():
    found = importances(SPACE, _trials(lambda at: 0.0, noise=1.0), metric="valid_loss")
    assert not found.is_worth_reading
    assert found.error > 0.9 * found.spread
    assert "it explains next to nothing" in found.verdict()
    assert "ignore the importances below" in describe(found).splitlines()[0]


def test_where_every_trial_is_the_same_nothing_can_matter():
    trials = [ObservedTrial(trial.settings, 1.0) for trial in _trials(lambda at: 0.0)]
    found = importances(SPACE, trials)
    assert found.verdict() == "all trials have the same value, so no setting can matter"
    assert all(setting.permutation == 0 for setting in found.settings)


def test_effects_follow_the_planted_function():
    found = importances(SPACE, _trials(lambda at: at["lr"], count=150, noise=0.0))
    means = found.effects["lr"].means
    assert means[0] < 0.15
    assert means[-1] > 0.85
    assert np.all(np.diff(means) > -0.05)
    flat = found.effects["layers"].means
    assert len(flat) == 8
    assert np.ptp(flat) < 0.1


def test_failed_trials_are_counted_and_left_out():
    trials = _trials(lambda at: at["lr"])
    failed = [ObservedTrial(trial.settings, None) for trial in trials[:7]]
    found = importances(SPACE, [*failed, *trials[7:]])
    assert (found.trials, found.failed) == (73, 7)
    assert "(73 trials; 7 failed, not used)" in describe(found)


def test_figures_of_trials_that_diverged_do_not_drown_the_others():
    trials = _trials(lambda at: at["lr"])
    trials[3] = ObservedTrial(trials[3].settings, 1e6)
    found = importances(SPACE, trials)
    assert found.outlying == 1
    assert found.settings[0].path == "lr"
    assert found.explained > 0.3


def test_too_few_trials_are_refused():
    with pytest.raises(LabError) as error:
        importances(SPACE, _trials(lambda at: at["lr"], count=9))
    assert str(error.value) == (
        "9 finished trials are too few to tell which settings matter\n"
        "  run at least 10, better 50: Study.search(..., trials=60)"
    )


def test_the_same_seed_gives_the_same_importances():
    trials = _trials(lambda at: at["lr"])
    assert importances(SPACE, trials, seed=3) == importances(SPACE, trials, seed=3)


def test_the_variance_of_boxes_is_that_of_the_function_that_they_are():
    low = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 0.25]])
    high = np.array([[0.5, 1.0], [1.0, 0.25], [1.0, 1.0]])
    boxes = Boxes(low, high, np.array([1.0, 2.0, 5.0]))
    places = (np.arange(200) + 0.5) / 200
    grid = np.array(
        [1.0 if x < 0.5 else 2.0 if y < 0.25 else 5.0 for x, y in itertools.product(places, places)]
    ).reshape(200, 200)
    assert boxes.mean == pytest.approx(grid.mean())
    assert boxes.variance == pytest.approx(grid.var())
    assert boxes.explained_by((0,)) == pytest.approx(grid.mean(1).var())
    assert boxes.explained_by((1,)) == pytest.approx(grid.mean(0).var())
    assert boxes.explained_by((0, 1)) == pytest.approx(grid.var())
    assert boxes.mean_at(1, places) == pytest.approx(grid.mean(0))


def test_there_is_a_box_everywhere():
    boxes = Boxes(np.array([[0.0], [0.5]]), np.array([[0.5], [1.0]]), np.array([1.0, 2.0]))
    assert boxes.mean_at(0, np.array([0.0, 0.5, 1.0])).tolist() == [1.0, 1.0, 2.0]


def test_pictures_show_every_setting():
    trials = _trials(lambda at: at["lr"], count=20)
    found = importances(SPACE, trials)
    assert len(plot_effects(found, SPACE, trials).axes) == 6
    assert [label.get_text() for label in plot_importances(found).axes[0].get_yticklabels()][-1] == "lr"


def test_the_command_asks_about_the_variant_that_is_named(tmp_path, monkeypatch):
    asked = []

    def read_study(store, name, variant=""):
        asked.append((name, variant))
        raise StoreError("asked")

    monkeypatch.setattr("lab.study.record.read_study", read_study)
    CliRunner().invoke(cli, ["importance", "search", "--variant", "1f3a", "--runs", str(tmp_path)])
    assert asked == [("search", "1f3a")]
