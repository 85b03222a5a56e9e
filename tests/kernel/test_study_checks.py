"""Study objects of a wrong type are refused where they are made, all problems of an object at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab import LabError, Study, log, use
from lab.errors import StudyError
from lab.study.study import Arm
from tests.kernel.toys import Line, experiment


def refused(make) -> str:
    with pytest.raises(StudyError) as caught:
        make()
    return str(caught.value)


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


# --- the study --------------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_a_study_is_told_at_once():
    text = refused(lambda: Study(3, seeds=None, compare=None, name=3, question=b"why", arms="x"))
    assert text == (
        "6 problems in this study:\n\n"
        "base must be an Experiment or a function, not 3\n\n"
        "seeds must be a number of at least 1 or a list of whole numbers, not None\n\n"
        "compare must be text, not NoneType: None\n\n"
        "name must be text, not int: 3\n\n"
        "question must be text, not bytes: b'why'\n\n"
        "arms are made by swap, remove, grid or search, not 'x'"
    )


def test_a_value_that_cannot_be_printed_is_named_by_its_type():
    assert refused(lambda: Study(experiment(), compare=Unprintable())).endswith("not Unprintable: a Unprintable")
    assert refused(lambda: Study(experiment(), seeds=[10**5000])) == "seeds must fit into 64 bits, not a int"


@pytest.mark.parametrize(
    ("seeds", "plain"),
    [(np.int64(2), [0, 1]), (np.arange(2), [0, 1]), ([np.int32(5)], [5]), ((3, 4), [3, 4]), (iter([7]), [7])],
)
def test_seeds_may_be_numbers_of_numpy(seeds, plain):
    found = Study(experiment(), seeds=seeds).seed_list
    assert found == plain
    assert {type(seed) for seed in found} == {int}


def test_a_name_with_half_a_character_is_refused():
    assert "cannot be written" in refused(lambda: Study(experiment(), name="a\udc80"))


# --- arms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alternatives", "message"),
    [
        ("sgd", "give alternatives as a list or as {name: value}, not 'sgd'"),
        (use("sgd"), "give alternatives as a list or as {name: value}, not use('sgd')"),
        (None, "give alternatives as a list or as {name: value}, not None"),
        ({"sgd"}, "give alternatives as a list or as {name: value}, not {'sgd'}: a set has no order"),
        ([Line(2)], "expected a component's name, use(...), a class or a function, not Line("),
        ({("a", 1): "sgd"}, "the name of one of the alternatives must be text, not tuple: ('a', 1)"),
        ({8: "sgd"}, "the name of one of the alternatives must be text, not int: 8"),
        ({"": "sgd"}, "the name of one of the alternatives is empty"),
        ({"a\nb": "sgd"}, "the name of one of the alternatives must not hold line breaks or begin or end with blanks"),
        ({" a": "sgd"}, "the name of one of the alternatives must not hold line breaks or begin or end with blanks"),
        ({"a" * 201: "sgd"}, "the name of one of the alternatives is longer than 200 characters"),
    ],
)
def test_alternatives_of_another_kind_are_refused(alternatives, message):
    assert refused(lambda: Study(experiment()).swap("optimizer", alternatives)).startswith(
        f"swap('optimizer', ...): {message}"
    )


def test_every_name_that_cannot_stand_is_told():
    text = refused(lambda: Study(experiment()).swap("optimizer", {1: "sgd", "": "sgd"}))
    assert text.startswith("2 problems in this study:")


def test_no_alternatives_are_an_error_as_no_levels_are():
    assert refused(lambda: Study(experiment()).swap("lr", [])) == "swap('lr', ...) has no alternatives"


@pytest.mark.parametrize("path", [3, None, "", ["lr"]])
def test_a_path_is_text(path):
    assert "the path" in refused(lambda: Study(experiment()).swap(path, [0.1]))
    assert "a path" in refused(lambda: Study(experiment()).remove(path))


def test_a_swap_cannot_replace_the_base():
    text = refused(lambda: Study(experiment()).swap("architecture.width", {"base": 4, "wide": 8}))
    assert text.startswith("an arm cannot be called 'base'\n  that name is reserved")


def test_no_other_way_replaces_the_base_either(catalog):
    assert "an arm cannot be called 'base'" in refused(lambda: Arm("base", {"lr": 1.0}))
    with pytest.raises(LabError, match="two arms are called 'base'"):
        Study(experiment()).grid({"lr": {"one": 0.1, "base": 0.2}})


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (["lr"], "grid takes {path: levels}, not ['lr']"),
        ({"lr": 0.1}, "the factor lr of a grid: give levels as a list or as {name: value}, not 0.1"),
        ({"lr": "ab"}, "the factor lr of a grid: give levels as a list or as {name: value}, not 'ab'"),
        ({"lr": {0.1, 0.2}}, "the factor lr of a grid: give levels as a list or as {name: value}, not {0."),
        ({3: [1]}, "the factor 3 of a grid: the path must be text, not int: 3"),
        (
            {"optimizer": [use("sgd", momentum=0.1), use("sgd", momentum=0.2)]},
            "the factor optimizer of a grid: two levels are called 'sgd'\n  name them yourself: {'optimizer'",
        ),
    ],
)
def test_factors_of_another_kind_are_refused(factors, message):
    assert refused(lambda: Study(experiment()).grid(factors)).startswith(message)


def test_a_grid_beyond_what_can_be_planned_is_refused_before_its_cells_are_made():
    text = refused(lambda: Study(experiment()).grid({"lr": [x + 1.0 for x in range(1000)], "epochs": range(1, 1001)}))
    assert text == "this grid has 1,000,000 cells; a study can have 10,000 arms at most"


def test_more_runs_than_can_be_planned_are_a_problem_of_the_plan(catalog):
    study = Study(experiment(), seeds=10_000).swap("lr", [x + 1.0 for x in range(6)])
    assert "this study has 70,000 runs, and 50,000 at most can be planned" in str(study.problems(catalog))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_numbers_of_numpy_give_the_experiment_of_pythons_numbers(catalog):
    plain = experiment(lr=0.5, batch_size=8, epochs=2, architecture=use("line", width=4))
    numpys = experiment(
        lr=np.float32(0.5), batch_size=np.int64(8), epochs=np.int8(2), architecture=use("line", width=np.int64(4))
    )
    assert numpys.resolve(catalog)[0].to_json() == plain.resolve(catalog)[0].to_json()


def test_numbers_of_numpy_may_stand_in_arms():
    study = Study(experiment()).swap("lr", [np.float32(0.5)]).swap("lr", {"x": np.float64(0.25)})
    assert [(arm.name, arm.changes["lr"], type(arm.changes["lr"])) for arm in study.arms] == [
        ("lr=0.5", 0.5, float),
        ("x", 0.25, float),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("inf"), "lr must be a finite number, not inf"),
        (float("nan"), "lr must be a finite number, not nan"),
        (np.float64("inf"), "lr must be a finite number, not inf"),
        ([0.1, float("nan")], "lr must be a finite number, not nan"),
        ([0.1, -0.1], "lr must be at least 0.0, not -0.1"),
        (slice(1e-5, float("inf")), "lr must be a finite number, not inf"),
    ],
)
def test_a_learning_rate_is_a_finite_number(catalog, value, message):
    assert Study(experiment(lr=value)).problems(catalog) == [message]


@pytest.mark.parametrize("name", ["batch_size", "valid_batch_size", "epochs"])
def test_counts_beyond_what_torch_counts_are_refused(catalog, name):
    assert Study(experiment(**{name: 10**30})).problems(catalog) == [f"{name} must be below 2^63"]


@pytest.mark.parametrize(("seed", "shown"), [(-1, "-1"), (2**40, "a larger number")])
def test_a_seed_of_a_component_is_one_that_generators_take(catalog, seed, shown):
    def moons(*, split_seed: int = 0):
        raise AssertionError("read")

    problem = Study(experiment(dataset=use(moons, split_seed=seed))).problems(catalog)[0]
    assert problem.endswith(f"parameter 'split_seed' must be a seed from 0 to 2^32 - 1, not {shown}")


# --- searches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": "many"}, "trials of a search must be a whole number, not str: 'many'"),
        ({"trials": 2.5}, "trials of a search must be a whole number, not float: 2.5"),
        ({"trials": 10**9}, "trials of a search must be at most 10,000, not 1000000000"),
        ({"batch": None}, "batch of a search must be a whole number, not NoneType: None"),
        ({"seed": -1}, "seed of a search must be at least 0, not -1"),
        ({"rungs": 5}, "rungs must be rising epochs from 1 on, got 5"),
        ({"rungs": ["a"]}, "rungs must be rising epochs from 1 on, got ('a',)"),
    ],
)
def test_options_of_a_search_of_another_type_are_refused(options, message):
    assert refused(lambda: Study(experiment()).search({"lr": (0.1, 0.2)}, **options)) == message


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("lr", "a search needs a space: {path: (low, high) or [one, another]}, not 'lr'"),
        ({3: (0.1, 0.2)}, "search, 3: a path must be text, not int: 3"),
        ({"lr": (0.1, float("inf"))}, "search, lr: the bounds of a range are finite, not 0.1 and inf"),
        ({"lr": [Line(2), Line(2)]}, "search, lr: expected a component's name"),
        ({"lr": {"": 1.0, "b": 2.0}}, "search, lr: the name of an option is empty"),
    ],
)
def test_a_space_of_another_kind_is_refused(space, message):
    assert refused(lambda: Study(experiment()).search(space)).startswith(message)


def test_options_of_one_label_are_an_error_as_arms_are():
    text = refused(
        lambda: Study(experiment()).search({"architecture": [use("line", width=8), use("line", width=64), Line]})
    )
    assert text == "search, architecture: two options are called 'line'\n  name them yourself: {name: ..., ...}"


def test_a_range_takes_numbers_of_numpy():
    assert Study(experiment()).search({"width": (np.int64(1), np.int64(9))}).searching.space["width"].is_whole
    with pytest.raises(LabError, match="bounds of a range are numbers"):
        log("a", 2)


def test_rungs_are_compared_with_epochs_of_the_command_line(catalog):
    from lab.study.load import override

    study = Study(experiment(epochs=9)).search({"lr": (0.1, 0.2)}, searcher="none", rungs=(3,))
    problems = override(study, ["epochs=2"], catalog).problems(catalog)
    assert any("rungs must stay below the base's 2 epochs" in problem for problem in problems)


# --- choosing arms ----------------------------------------------------------------------------------------------------


@pytest.fixture
def study():
    arms = {"a, b": 0.1, "c,d": 0.2, "c": 0.3, 'say "hi"': 0.4, "7": 0.5}
    return Study(experiment()).swap("lr", arms)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("a, b", ["a, b"]),
        ("c", ["c"]),
        ("c,d", ["c,d"]),
        ("c, a, b", ["a, b", "c"]),
        ('"a, b",c', ["a, b", "c"]),
        ("'c,d'", ["c,d"]),
        ("1,3", ["a, b", "c"]),
        ("7", ["7"]),
        ("4", ['say "hi"']),
        ("0", []),
        ("base", []),
    ],
)
def test_arms_are_chosen_by_name_in_quotes_or_by_number(study, text, chosen):
    assert [arm.name for arm in study.choose(text).arms] == chosen


@pytest.mark.parametrize("text", ["", ",", "9", "a", "1" * 5000, "'"])
def test_an_unknown_arm_is_told_with_the_numbers_of_all(study, text):
    with pytest.raises(LabError) as caught:
        study.choose(text)
    assert "by number, or in quotes\n" in str(caught.value)
    assert "    1: a, b" in str(caught.value)


def test_a_tensor_is_no_number_of_numpy():
    value = torch.tensor(0.5)
    assert use("x", scale=value).params["scale"] is value
