"""New users by their ratings, items to ask about, and biases that change over time."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from lab_basics.losses import mse
from lab_collab.data import ratings, ratings_of_source
from lab_collab.models import TimeBiases
from lab_collab.newcomers import fold_in, items_to_ask
from lab_collab.recommend import recommend
from lab_collab.sources import generated

from lab import Learner
from lab.errors import DataError, LabError, ParameterError
from tests.plugins.lab_collab.conftest import needs

TIMES = ("time_span", "user_mean_times")


def drifting():
    """Ratings of items by period alone: item 0 rises from 2 to 4 after the first half, item 1 stays at 3."""
    source = generated()[0]
    count = 400
    items = np.array([f"item {number % 2}" for number in range(count)])
    late = np.arange(count) >= count // 2
    stars = np.where(items == "item 0", np.where(late, 4.0, 2.0), 3.0)
    users = np.array([f"user {number % 7}" for number in range(count)])
    return attrs.evolve(
        source, users=users, items=items, ratings=stars, times=np.arange(count) * 86_400.0, item_features=None
    )


def test_a_known_user_is_found_again_from_their_ratings(learner):
    data = learner.data
    first, last = data.rated_starts[5], data.rated_starts[6]
    items = data.rated_items[first:last]
    with torch.no_grad():
        said = learner.model(torch.full_like(items, 5), items)
    rated = {data.title(int(item)): float(rating) for item, rating in zip(items, said, strict=True)}
    newcomer = fold_in(learner, rated, penalty=0.0, steps=200)
    torch.testing.assert_close(newcomer.predict(items), said, atol=0.02, rtol=0)


def test_a_newcomer_without_ratings_is_the_mean_user(learner):
    newcomer = fold_in(learner, {})
    torch.testing.assert_close(newcomer.factors, learner.model.user.weight.detach()[1:].mean(0))


def test_a_penalty_keeps_a_newcomer_near_the_mean_user(learner):
    titles = [learner.data.title(number) for number in range(1, 6)]
    rated = dict.fromkeys(titles, 5.0)
    mean = fold_in(learner, {}).factors
    free, held = (fold_in(learner, rated, penalty=penalty).factors for penalty in (0.01, 100.0))
    assert (held - mean).norm() < 0.1 * (free - mean).norm()


def test_folding_in_leaves_the_model_as_it_is(learner):
    before = {name: weight.clone() for name, weight in learner.model.state_dict().items()}
    fold_in(learner, {learner.data.title(1): 5.0})
    assert all(torch.equal(before[name], weight) for name, weight in learner.model.state_dict().items())
    assert all(weight.grad is None or not weight.grad.any() for weight in learner.model.parameters())


def test_a_newcomer_gets_recommendations_without_what_they_rated(learner):
    found = recommend(learner, rated={"item 7": 5.0, "item 9": 1.0}, count=200)
    assert len(found) == learner.data.item_count - 3
    assert not {"item 7", "item 9"} & {each.title for each in found}


def test_only_factors_and_biases_can_be_folded_in(learner):
    data = ratings_of_source(drifting(), times=True)
    other = Learner(TimeBiases(*needs(data, *TIMES)), data, mse, progress=False)
    with pytest.raises(LabError, match="need the architecture 'dot_bias'"):
        fold_in(other, {})
    with pytest.raises(ParameterError, match="penalty must be at least 0"):
        fold_in(learner, {}, penalty=-1)


def test_items_are_asked_about_by_popularity_or_by_disagreement():
    source = generated()[0]
    items = np.array(["loved"] * 30 + ["split"] * 20 + ["rare"] * 2)
    stars = np.array([5.0] * 30 + [1.0, 5.0] * 10 + [1.0, 5.0])
    users = np.array([f"user {number % 9}" for number in range(52)])
    data = ratings_of_source(
        attrs.evolve(source, users=users, items=items, ratings=stars, times=None, item_features=None), valid_share=0.1
    )
    names = {by: [data.title(each) for each in items_to_ask(data, 3, by=by)] for by in ("popularity", "entropy")}
    assert names == {"popularity": ["loved", "split", "rare"], "entropy": ["split", "rare", "loved"]}


def test_biases_by_period_follow_an_item_that_changes():
    data = ratings_of_source(drifting(), times=True)
    torch.manual_seed(0)
    model = TimeBiases(*needs(data, *TIMES), n_factors=2, bins=2, drift=False)
    learner = Learner(model, data, mse, lr=0.1, batch_size=64, progress=False)
    learner.fit(15)
    item, user = data.item_number("item 0"), torch.tensor([1, 1])
    early, late = model.eval()(user, torch.tensor([item, item]), torch.tensor([10.0, 390.0])).tolist()
    assert (early, late) == (pytest.approx(2, abs=0.3), pytest.approx(4, abs=0.3))


def test_a_user_drifts_with_the_power_of_the_time_since_their_mean():
    data = ratings_of_source(drifting(), times=True)
    model = TimeBiases(*needs(data, *TIMES), n_factors=2, y_range=None)
    with torch.no_grad():
        model.user_drift.weight.fill_(1.0)
        model.user.weight.zero_()
    mean = float(data.user_mean_times[3])
    users, items = torch.tensor([3, 3, 3]), torch.tensor([1, 1, 1])
    found = model(users, items, torch.tensor([mean - 32, mean, mean + 1]))
    drift = [-((32 / data.time_span) ** 0.4), 0, (1 / data.time_span) ** 0.4]
    torch.testing.assert_close(found - data.mean_rating, torch.tensor(drift), atol=1e-4, rtol=0)


def test_times_count_from_the_first_training_rating_and_change_the_fingerprint():
    with_times, without = (ratings_of_source(drifting(), times=times) for times in (True, False))
    assert float(with_times.train.times.min()) == 0
    assert with_times.time_span == float(with_times.train.times.max())
    assert with_times.fingerprint != without.fingerprint


def test_times_are_needed_for_biases_over_time():
    with pytest.raises(DataError, match="these ratings have no times"):
        ratings_of_source(attrs.evolve(drifting(), times=None), times=True)
    data = ratings(max_rows=500)
    with pytest.raises(ParameterError, match="needs ratings with times"):
        TimeBiases(*needs(data, *TIMES))
