"""Studies: arms by swap, remove and grid; selection; differences; every problem at once."""

from __future__ import annotations

import pytest

from lab import Study, use
from lab.errors import LabError, StudyError, UnknownNameError
from tests.kernel.toys import Line, experiment


def arms(study):
    return [arm.name for arm in study.all_arms]


@pytest.fixture
def differences(catalog):
    def differences(study):
        return {arm.name: dict(arm.difference) for arm in study.resolve(catalog)}

    return differences


@pytest.fixture
def problems(catalog):
    def problems(study):
        with pytest.raises(StudyError) as caught:
            study.resolve(catalog, where="study.py")
        return str(caught.value)

    return problems


# --- swap and remove --------------------------------------------------------------------------------------------------


def test_a_study_without_arms_has_its_base():
    assert arms(Study(experiment())) == ["base"]


def test_swap_gives_one_arm_per_alternative(differences):
    study = Study(experiment()).swap("optimizer", {"sgd": "sgd", "fast sgd": use("sgd", momentum=0.9)})
    assert differences(study) == {
        "base": {},
        "sgd": {"optimizer": ("adam", "sgd"), "optimizer.momentum": (None, 0.0)},
        "fast sgd": {"optimizer": ("adam", "sgd"), "optimizer.momentum": (None, 0.9)},
    }


def test_of_a_component_that_one_arm_has_no_parameters_are_listed(differences):
    assert differences(Study(experiment()).swap("optimizer", ["sgd"]))["sgd"] == {"optimizer": ("adam", "sgd")}


def test_arms_of_a_list_are_named_after_what_stands_there():
    study = Study(experiment()).swap("architecture", ["deep", use("deeper", width=9), Line])
    study = study.swap("architecture.width", [3, None]).swap("architecture.bias", [False, True]).swap("lr", [0.1])
    assert arms(study) == ["base", "deep", "deeper", "Line", "width=3", "no width", "no bias", "bias", "lr=0.1"]


def test_two_alternatives_of_one_name_are_an_error_that_says_how_to_name_them():
    with pytest.raises(LabError) as caught:
        Study(experiment()).swap("optimizer", ["sgd", use("sgd", momentum=0.9)])
    assert str(caught.value) == "two arms are called 'sgd'\n  name them yourself: swap('optimizer', {name: ...})"


def test_two_swaps_cannot_use_one_name():
    with pytest.raises(LabError, match="two arms are called 'x'"):
        Study(experiment()).swap("lr", {"x": 0.1}).swap("epochs", {"x": 3})


def test_remove_leaves_one_out_per_path(differences):
    study = Study(experiment(callbacks=["nothing", "loud"])).remove("callbacks.loud", "callbacks.nothing")
    assert arms(study) == ["base", "no loud", "no nothing"]
    assert differences(Study(experiment(callbacks=["something"])).remove("callbacks.something")) == {
        "base": {},
        "no something": {"callbacks.something": ("something", None)},
    }


def test_remove_of_a_whole_list_leaves_none(differences):
    study = Study(experiment(callbacks=["nothing"])).remove("callbacks")
    assert differences(study)["no callbacks"] == {"callbacks.nothing": ("nothing", None)}


def test_a_callback_may_be_swapped_for_another(differences):
    study = Study(experiment(callbacks=["nothing"])).swap("callbacks.nothing", ["something"])
    assert differences(study)["something"] == {
        "callbacks.nothing": ("nothing", None),
        "callbacks.something": (None, "something"),
    }


def test_every_method_gives_a_new_study():
    study = Study(experiment())
    study.swap("lr", [0.1])
    assert arms(study) == ["base"]


# --- grid -------------------------------------------------------------------------------------------------------------


def test_a_grid_has_a_cell_for_every_combination_and_its_first_is_the_base(catalog):
    study = Study(experiment()).grid({"architecture.bias": [True, False], "architecture.width": {"flat": 0, "deep": 4}})
    resolved = study.resolve(catalog)
    assert [(arm.name, arm.factors) for arm in resolved] == [
        ("base", {"architecture.bias": "bias", "architecture.width": "flat"}),
        ("deep", {"architecture.bias": "bias", "architecture.width": "deep"}),
        ("no bias", {"architecture.bias": "no bias", "architecture.width": "flat"}),
        ("no bias + deep", {"architecture.bias": "no bias", "architecture.width": "deep"}),
    ]
    assert resolved[3].difference == {"architecture.width": (0, 4), "architecture.bias": (True, False)}


def test_the_base_cell_replaces_the_base(catalog):
    study = Study(experiment()).grid({"lr": [0.5, 0.6]})
    assert study.resolve(catalog)[0].experiment.values["lr"] == 0.5


def test_the_base_cell_comes_first_wherever_the_grid_stands(catalog):
    study = Study(experiment()).swap("optimizer", ["sgd"]).grid({"architecture.bias": [True, False]})
    assert arms(study) == ["base", "sgd", "no bias"]
    assert [dict(arm.difference) for arm in study.resolve(catalog)][1] == {"optimizer": ("adam", "sgd")}


def test_a_swap_beside_a_grid_that_moves_the_base_differs_in_more_than_its_slot(problems):
    study = Study(experiment()).swap("optimizer", ["sgd"]).grid({"lr": [0.5, 0.6]})
    assert problems(study) == (
        "arm 'sgd': this arm swaps optimizer but differs from the base in lr too\n"
        "  swap one thing at a time, or use grid\n"
        "  study.py"
    )


def test_a_factor_without_levels_is_an_error():
    with pytest.raises(StudyError) as caught:
        Study(experiment()).grid({"lr": [], "epochs": [1]})
    assert str(caught.value) == "the factor lr of a grid has no levels"


# --- selection and seeds ----------------------------------------------------------------------------------------------


def test_select_keeps_the_arms_and_the_base():
    study = Study(experiment()).swap("lr", {"slow": 0.1, "fast": 1.0})
    assert arms(study.select(["fast"])) == ["base", "fast"]


def test_select_keeps_the_base_cell_of_a_grid(catalog):
    study = Study(experiment()).grid({"lr": [0.5, 0.6]}).select(["lr=0.6"])
    assert study.resolve(catalog)[0].experiment.values["lr"] == 0.5


def test_an_unknown_arm_gives_close_matches_and_all_arms():
    with pytest.raises(UnknownNameError) as caught:
        Study(experiment()).swap("lr", {"slow": 0.1, "fast": 1.0}).select(["fats"])
    assert str(caught.value) == "unknown arm 'fats'\n  did you mean: fast?\n  arms: base, slow, fast"


@pytest.mark.parametrize(("given", "seeds"), [(3, [0, 1, 2]), ([7, 3], [7, 3]), (range(2), [0, 1])])
def test_seeds_are_a_number_or_the_seeds_themselves(given, seeds):
    assert Study(experiment(), seeds=given).seed_list == seeds


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (0, "seeds must be a number of at least 1 or a list of whole numbers, not 0"),
        ([], "seeds must be a number of at least 1 or a list of whole numbers, not []"),
        ([1.5], "seeds must be a number of at least 1 or a list of whole numbers, not [1.5]"),
        ("three", "seeds must be a number of at least 1 or a list of whole numbers, not 'three'"),
        (None, "seeds must be a number of at least 1 or a list of whole numbers, not None"),
        (2.5, "seeds must be a number of at least 1 or a list of whole numbers, not 2.5"),
        (True, "seeds must be a number of at least 1 or a list of whole numbers, not True"),
        ({"a": 1}, "seeds must be a number of at least 1 or a list of whole numbers, not {'a': 1}"),
        ([1, 2, 1], "duplicate seed: 1"),
        ([2**70], "seeds must fit into 64 bits, not 1180591620717411303424"),
        (10**12, "too many seeds: at most 10,000"),
        (range(10**9), "too many seeds: at most 10,000"),
    ],
)
def test_wrong_seeds_are_refused_where_the_study_is_made(seeds, message):
    with pytest.raises(StudyError) as caught:
        Study(experiment(), seeds=seeds)
    assert str(caught.value) == message


# --- problems ---------------------------------------------------------------------------------------------------------


def test_all_problems_of_all_arms_are_told_at_once_each_with_its_arms(problems):
    study = Study(experiment(loss="sqared"))
    study = study.swap("optimizer", {"typo": "sdg"}).swap("loss", {"unknown": use("squared", scall=0.9)})
    study = study.swap("architecture.widht", {"one": 1, "two": 2}).swap("architectur", {"lost": "line"})
    assert problems(study) == (
        "5 problems in this study:\n"
        "  study.py\n"
        "\n"
        "arm 'base' and arm 'typo' and arm 'one' and arm 'two': unknown loss 'sqared'\n"
        "  did you mean: squared (toys 1.0)?\n"
        "  all losses: lab list losses\n"
        "\n"
        "arm 'typo': unknown optimizer 'sdg'\n"
        "  did you mean: sgd (toys 1.0)?\n"
        "  all optimizers: lab list optimizers\n"
        "\n"
        "arm 'unknown': loss 'squared' (toys 1.0): unexpected parameter 'scall'\n"
        "  did you mean: scale?\n"
        "  signature: squared(output: Tensor, target: Tensor, *, scale: float = 1.0)\n"
        "\n"
        "arm 'one' and arm 'two': architecture 'line' (toys 1.0): unexpected parameter 'widht'\n"
        "  did you mean: width?\n"
        "  signature: line(features: int, *, width: int = 0, bias: bool = True)\n"
        "\n"
        "arm 'lost': unknown path 'architectur'\n"
        "  did you mean: architecture?\n"
        "  an experiment has: dataset, architecture, loss, sampler, valid_sampler, stepper, optimizer, "
        "callbacks, metrics, "
        "checkpoint, lr, batch_size, valid_batch_size, epochs, vary"
    )


def test_a_problem_of_every_arm_names_none(problems):
    study = Study(experiment(epochs="two")).swap("lr", [0.1])
    assert problems(study) == "epochs must be int, not str: 'two'\n  study.py"


def test_a_figure_that_no_run_will_have_is_a_problem_before_anything_is_trained(problems):
    assert problems(Study(experiment(metrics=["worst"]), compare="valid_wosrt")) == (
        "unknown metric 'valid_wosrt' in Study(compare=…)\n"
        "  did you mean: valid_worst?\n"
        "  metrics: valid_loss, valid_worst\n"
        "  study.py"
    )


def test_a_figure_without_its_split_is_a_problem_that_says_which(problems):
    assert problems(Study(experiment(), compare="loss")) == (
        "unknown metric 'loss' in Study(compare=…)\n  did you mean: valid_loss?\n  metrics: valid_loss\n  study.py"
    )


@pytest.mark.parametrize("figure", ["valid_loss", "valid_worst", "test_worst", "train_loss", "seconds"])
def test_a_figure_that_runs_may_have_is_accepted(catalog, figure):
    Study(experiment(metrics=["worst"]), compare=figure).resolve(catalog)
