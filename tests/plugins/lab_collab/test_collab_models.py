"""Models of ratings: equations, newcomers, ranges, and factors that are found again."""

from __future__ import annotations

import pytest
import torch
from lab_basics.losses import mse
from lab_collab.data import ratings
from lab_collab.metrics import NDCG, HitRate
from lab_collab.models import DotBias, EmbeddingNet, Hybrid, SVDPlusPlus
from lab_collab.sources import generated

from lab import Learner
from lab.errors import ParameterError, ShapeError
from tests.plugins.lab_collab.conftest import needs


@pytest.fixture(scope="module")
def data():
    return ratings(max_rows=2000)


def _models(data):
    return {
        "dot_bias": DotBias(*needs(data), n_factors=4),
        "embedding_net": EmbeddingNet(*needs(data), n_factors=4),
        "svd_plus_plus": SVDPlusPlus(*needs(data, "rated_items", "rated_starts"), n_factors=4),
        "hybrid": Hybrid(*needs(data, "item_features", "user_features"), n_factors=4),
    }


def test_a_factor_model_is_its_equation(data):
    model = DotBias(*needs(data), n_factors=4, y_range=None)
    users, items = torch.tensor([3, 5]), torch.tensor([2, 9])
    with torch.no_grad():
        model.user_bias.weight.normal_()
        model.item_bias.weight.normal_()
        expected = [
            data.mean_rating
            + float(model.user.weight[u] @ model.item.weight[i])
            + float(model.user_bias.weight[u, 0] + model.item_bias.weight[i, 0])
            for u, i in ((3, 2), (5, 9))
        ]
        torch.testing.assert_close(model(users, items), torch.tensor(expected))


def test_weights_saved_by_their_former_names_are_loaded(data, tmp_path):
    from safetensors.torch import load_file, save_file

    from lab.training.weights import load_weights, save_weights

    saved, loaded = (Hybrid(*needs(data, "item_features", "user_features"), n_factors=4) for _ in range(2))
    save_weights(saved, tmp_path / "new.safetensors")
    tensors = load_file(tmp_path / "new.safetensors")
    former = {name.replace("_feature_weights", "_written"): tensor for name, tensor in tensors.items()}
    assert former.keys() != tensors.keys()
    save_file(former, tmp_path / "old.safetensors")
    load_weights(loaded, tmp_path / "old.safetensors")
    assert torch.equal(loaded.item_feature_weights.weight, saved.item_feature_weights.weight)


def test_implicit_factors_are_the_sum_over_what_was_rated(data):
    model = SVDPlusPlus(*needs(data, "rated_items", "rated_starts"), n_factors=4, y_range=None)
    with torch.no_grad():
        model.implicit.weight.normal_()
    users = torch.tensor([7, 4, 7])
    rated = model._implicit_factors(users)
    for row, user in enumerate(users.tolist()):
        items = data.train.items[data.train.users == user]
        torch.testing.assert_close(rated[row], model.implicit.weight[items].sum(0) / len(items) ** 0.5)


@pytest.mark.parametrize("name", ["dot_bias", "embedding_net", "svd_plus_plus", "hybrid"])
def test_ratings_stay_in_their_range(data, name):
    model = _models(data)[name].eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(50.0)
        given = model(torch.arange(1, 60), torch.arange(1, 60))
    assert 0.0 <= float(given.min()) <= float(given.max()) <= 5.5


@pytest.mark.parametrize("name", ["dot_bias", "svd_plus_plus", "hybrid"])
def test_a_fresh_model_says_the_mean(data, name):
    torch.manual_seed(0)
    given = _models(data)[name].eval()(torch.arange(1, 60), torch.arange(1, 60))
    assert given.detach().mean().item() == pytest.approx(data.mean_rating, abs=0.05)


@pytest.mark.parametrize("name", ["dot_bias", "svd_plus_plus"])
def test_the_unknown_user_stays_without_factors(data, name):
    model = _models(data)[name]
    learner = Learner(model, data, mse, lr=0.05, batch_size=64, progress=False)
    learner.fit(1)
    assert not model.user.weight[0].any()
    assert not model.user_bias.weight[0].any()


def test_a_newcomer_is_answered_by_what_is_written_of_items():
    data = ratings()
    model = Hybrid(*needs(data, "item_features", "user_features"), n_factors=8)
    learner = Learner(model, data, mse, lr=0.01, batch_size=128, progress=False)
    learner.fit_one_cycle(4)
    item = torch.arange(1, data.item_count)
    nobody, nothing = torch.zeros_like(item), torch.zeros_like(item)
    with torch.no_grad():
        model.eval()
        known = model(torch.ones_like(item), item)
        new = model.rate(torch.ones_like(item), nothing, item=data.item_features[item])
    assert float(torch.corrcoef(torch.stack([known, new]))[0, 1]) > 0.3
    assert torch.isfinite(model(nobody, item)).all()


def test_the_factors_behind_the_embedded_ratings_are_found_again(learner):
    _, truth = generated()
    data = learner.data
    found = learner.model.item.weight.detach()[1:].double()
    rows = [int(name.split()[1]) for name in data.item_ids]
    planted = torch.from_numpy(truth["item_factors"])[rows]
    fitted = found @ torch.linalg.lstsq(found, planted).solution
    explained = 1 - ((planted - fitted) ** 2).sum() / ((planted - planted.mean(0)) ** 2).sum()
    assert float(explained) > 0.8
    bias = torch.from_numpy(truth["item_bias"])[rows]
    assert (
        float(torch.corrcoef(torch.stack([learner.model.item_bias.weight.detach()[1:, 0].double(), bias]))[0, 1]) > 0.8
    )


@pytest.mark.parametrize(
    ("y_range", "message"),
    [
        ((5.0, 1.0), r"y_range must be increasing, got \(5.0, 1.0\)"),
        ((1.0, 5.5), r"ratings range from 0.5 to 5, outside y_range=\(1.0, 5.5\)"),
    ],
)
def test_a_range_that_cannot_hold_the_ratings_is_refused(data, y_range, message):
    with pytest.raises(ParameterError, match=message):
        DotBias(*needs(data), y_range=y_range)


def test_users_and_items_must_be_numbers_of_one_length(data):
    with pytest.raises(ShapeError, match=r"users and items must be integers \(B,\)"):
        DotBias(*needs(data))(torch.tensor([1, 2]), torch.tensor([1]))


# --- ranking ----------------------------------------------------------------------------------------------------------


def _judged(metric, scores, stars, users=None):
    users = torch.zeros(len(scores), dtype=torch.long) if users is None else torch.tensor(users)
    metric.update(torch.tensor(scores), torch.tensor(stars), batch=(users,))
    return metric.compute()


def test_ndcg_of_a_small_list_is_the_worked_number():
    value = _judged(NDCG(k=3), [0.9, 0.8, 0.7, 0.1], [3.0, 5.0, 1.0, 4.0])
    gain, best = 1 / 1.5849625, 1 + 1 / 1.5849625
    assert value == pytest.approx(gain / best)


@pytest.mark.parametrize(("k", "value"), [(1, 0.0), (2, 1.0)])
def test_a_hit_needs_a_liked_item_in_front(k, value):
    assert _judged(HitRate(k=k), [0.9, 0.8, 0.1], [3.0, 5.0, 1.0]) == value


def test_users_who_like_everything_or_nothing_say_nothing():
    scores, stars = [0.9, 0.1, 0.9, 0.1, 0.9, 0.1], [5.0, 5.0, 1.0, 1.0, 5.0, 1.0]
    assert _judged(HitRate(), scores, stars, [0, 0, 1, 1, 2, 2]) == 1.0
    assert _judged(HitRate(), [0.5], [5.0]) != _judged(HitRate(), [0.5], [5.0])


@pytest.mark.parametrize("metric", [HitRate(), NDCG()])
def test_an_epoch_without_a_rating_says_nothing(metric):
    assert metric.compute() != metric.compute()


def test_users_are_judged_one_by_one_whatever_their_order():
    scores, stars = [0.9, 0.2, 0.1, 0.8], [5.0, 5.0, 1.0, 1.0]
    assert _judged(HitRate(), scores, stars, [3, 7, 3, 7]) == 0.5


def test_a_list_needs_a_length():
    with pytest.raises(ParameterError, match="k must be at least 1, got 0"):
        NDCG(k=0)
