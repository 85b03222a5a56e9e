"""Recommendations, similar items, and what a model says of items by themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lab_basics.losses import mse
from lab_collab.data import find_item, ratings, ratings_of_source
from lab_collab.interpret import (
    item_factors,
    item_map,
    items_by_bias,
    items_by_component,
    most_rated,
    similar_items,
)
from lab_collab.models import Hybrid
from lab_collab.recommend import recommend
from lab_collab.report import sections
from lab_collab.sources import Source, generated
from torch import nn

from lab import Experiment, Learner, Study, use
from lab.errors import LabError, ParameterError, UnknownNameError
from tests.plugins.lab_collab.conftest import needs


def test_a_user_is_recommended_what_they_have_not_rated(learner):
    found = recommend(learner, "user 14", count=5)
    data = learner.data
    number = data.user_number("user 14")
    rated = set(data.train.items[data.train.users == number].tolist())
    assert len(found) == 5
    assert all(data.item_number(each.item) not in rated for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_items_near_to_what_is_liked_are_near_in_the_planted_factors(learner):
    _, truth = generated()
    found = recommend(learner, like="item 7", count=10)
    factors = truth["item_factors"] / ((truth["item_factors"] ** 2).sum(1, keepdims=True) ** 0.5)
    nearness = [float(factors[7] @ factors[int(each.item.split()[1])]) for each in found]
    assert sum(nearness) / len(nearness) > 0.5
    assert all(each.item != "item 7" for each in found)


def test_several_liked_items_are_averaged(learner):
    assert recommend(learner, like=["item 7", "item 8"]) != recommend(learner, like="item 7")


def test_an_unknown_user_gets_a_clear_answer(learner):
    with pytest.raises(UnknownNameError) as error:
        recommend(learner, "usre 14")
    text = str(error.value)
    assert text.startswith("unknown user 'usre 14'\n  300 users in the training split\n  did you mean: user")
    assert text.endswith("for a new user, name items they like: --like TITLE")


def test_a_hybrid_answers_an_unknown_user_with_what_it_expects_of_anybody():
    data = ratings(max_rows=3000)
    model = Hybrid(*needs(data, "item_features", "user_features"), n_factors=4)
    learner = Learner(model, data, mse, lr=0.02, batch_size=64, progress=False)
    learner.fit(2)
    found = recommend(learner, "newcomer", count=3)
    assert len(found) == 3
    assert all(0 < each.score < 5.5 for each in found)
    assert found == recommend(learner, "somebody else", count=3)


def test_an_unknown_title_gets_close_matches(learner):
    with pytest.raises(UnknownNameError, match=r"unknown item 'itme 7'\n.*\n  did you mean: item"):
        recommend(learner, like="itme 7")


def test_a_part_of_a_title_that_several_have_is_told(learner):
    with pytest.raises(UnknownNameError, match="'item' matches 120 items"):
        recommend(learner, like="item")


def test_a_title_is_found_without_its_year(learner):
    import attrs

    data = attrs.evolve(
        learner.data, item_titles={"item 7": "Casablanca (1942)", "item 8": "Casablanca Express (1989)"}
    )
    assert find_item(data, "casablanca") == data.item_number("item 7")
    assert find_item(data, "express") == data.item_number("item 8")


@pytest.mark.parametrize("question", [{}, {"user": "user 1", "like": "item 1"}])
def test_either_a_user_or_a_taste_is_asked_for(learner, question):
    with pytest.raises(LabError, match="give exactly one of: a user"):
        recommend(learner, **question)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"user": "user 1", "count": 0}, "count must be at least 1, got 0\n  recommend"),
        ({"like": ""}, "the title of a liked item is empty\n  recommend\n  --like Casablanca"),
    ],
)
def test_what_cannot_be_recommended_is_refused(learner, question, message):
    with pytest.raises(ParameterError) as error:
        recommend(learner, **question)
    assert str(error.value) == message


def test_items_of_high_bias_are_those_with_a_high_planted_bias(learner):
    _, truth = generated()
    best = [truth["item_bias"][int(title.split()[1])] for title, _ in items_by_bias(learner, 10)]
    worst = [truth["item_bias"][int(title.split()[1])] for title, _ in items_by_bias(learner, 10, lowest=True)]
    assert sum(best) / 10 > 0.4
    assert sum(worst) / 10 < -0.4


def test_the_most_similar_item_is_not_the_item_itself(learner):
    found = similar_items(learner, "item 3", 5)
    assert len(found) == 5
    assert all(title != "item 3" for title, _ in found)


def test_the_map_holds_the_items_with_the_most_ratings(learner):
    places = item_map(learner, 12)
    assert [place.item for place in places] == most_rated(learner.data, 12)
    assert len({(place.x, place.y) for place in places}) == 12


def test_a_learner_of_something_else_is_refused():
    from lab_basics.points import MLP, points

    data = points(count=16)
    learner = Learner(MLP(data.input_size, data.output_size), data, nn.functional.cross_entropy, progress=False)
    with pytest.raises(LabError, match="this learner was not trained on ratings"):
        recommend(learner, "user 1")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    base = Experiment(
        dataset=use("ratings", max_rows=1500),
        architecture=use("dot_bias", n_factors=4),
        loss="mse",
        callbacks=[use("item_map", count=8, ranked=3, among=20, components=2)],
        batch_size=64,
    )
    runs = tmp_path_factory.mktemp("study") / "runs"
    return Study(base, seeds=1, name="stars").run(runs=runs), runs


def test_a_run_leaves_its_items_and_their_map(study):
    results, _ = study
    folder = results.runs[0].folder / "artefacts"
    assert (folder / "items.png").read_bytes().startswith(b"\x89PNG")
    [section] = sections(results.runs)
    assert section.title == "Items by bias"
    assert "highest bias" in section.text
    assert "component 2, the other end:" in section.text
    content = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    assert [[len(end) for end in ends] for ends in content["components"]] == [[3, 3], [3, 3]]
    assert len({title for name in ("highest", "lowest") for title, _ in content[name]}) == 6
    assert "<svg" in section.html


def test_a_finished_run_recommends_from_the_command_line(study):
    from lab.cli.main import cli

    results, runs = study
    answer = CliRunner().invoke(
        cli,
        ["recommend", results.runs[0].key, "--runs", str(runs), "--like", "item 5", "-n", "3"],
        catch_exceptions=False,
    )
    assert answer.exit_code == 0
    assert len(answer.output.splitlines()) == 3
    assert "(item " in answer.output


@pytest.fixture
def people():
    """A hybrid of ratings that old and young give to two genres."""
    generator = np.random.default_rng(0)
    users, items = generator.integers(0, 40, 3000), generator.integers(0, 20, 3000)
    agrees = (users < 20) == (items < 10)
    source = Source(
        "people", users.astype(str), items.astype(str), np.where(agrees, 5.0, 1.0),
        item_features={str(item): np.eye(2, dtype="f4")[int(item >= 10)] for item in range(20)},
        user_features={str(user): np.eye(2, dtype="f4")[int(user >= 20)] for user in range(40)},
        feature_names=("first", "second", "old", "young"),
    )  # fmt: skip
    data = ratings_of_source(source)
    model = Hybrid(*needs(data, "item_features", "user_features"), n_factors=4, id_dropout=0.5)
    learner = Learner(model, data, mse, lr=1e-2, progress=False)
    learner.fit(6)
    return learner


def test_a_hybrid_recommends_to_a_newcomer_what_people_like_them_like(people):
    assert all(int(each.item) < 10 for each in recommend(people, about="old", count=8))
    assert all(int(each.item) >= 10 for each in recommend(people, about=["young"], count=8))


def test_what_is_not_known_of_users_has_close_matches(people):
    with pytest.raises(UnknownNameError, match="did you mean: young"):
        recommend(people, about="yuong")


def test_other_models_know_nothing_of_newcomers(learner):
    with pytest.raises(LabError, match="this run has no user features"):
        recommend(learner, about="old")


def test_items_by_bias_may_be_ranked_among_the_most_rated_only(learner):
    few = most_rated(learner.data, 5)
    ranked = items_by_bias(learner, 10, among=5)
    assert {title for title, _ in ranked} == {learner.data.title(item) for item in few}
    assert [bias for _, bias in ranked] == sorted((bias for _, bias in ranked), reverse=True)


def test_components_of_the_most_rated_items_have_two_ends(learner):
    high = items_by_component(learner, 0, 3, among=20)
    low = items_by_component(learner, 0, 3, among=20, lowest=True)
    rows = item_factors(learner)[torch.tensor(most_rated(learner.data, 20)) - 1].double()
    first = torch.linalg.svd(rows - rows.mean(0)).Vh[0]
    scores = ((rows - rows.mean(0)) @ first).sort(descending=True).values
    if scores[0].sign() != torch.tensor(high[0][1]).sign() or not torch.isclose(
        scores[0], torch.tensor(high[0][1]).double()
    ):
        scores = -scores.flip(0)
    assert [score for _, score in high] == pytest.approx(scores[:3].tolist(), rel=1e-4)
    assert [score for _, score in low] == pytest.approx(scores.flip(0)[:3].tolist(), rel=1e-4)


def test_a_component_that_the_factors_lack_is_refused(learner):
    with pytest.raises(LabError, match="component 99 of"):
        items_by_component(learner, 99)
