"""Experiments: slots, overrides by path, the complete form, what the data must offer."""

from __future__ import annotations

import attrs
import pytest
from torch import nn

from lab import use
from lab.errors import LabError, ParameterError, StudyError, UnknownNameError, place_of
from lab.registry.plugins import Catalog
from lab.study.experiment import checked
from lab.study.load import override
from lab.study.study import Study
from lab.training import Data
from tests.kernel.toys import COMPONENTS, Line, Nothing, Points, carts_plugin, experiment, plugin_module, points


@pytest.fixture
def set_(catalog):
    """Apply assignments as ``--set`` does; gives the complete experiment."""

    def set_(*assignments: str, **changes):
        study = override(Study(experiment(**changes)), assignments, catalog)
        return checked(study.base, catalog)

    return set_


def architecture(resolved):
    return resolved.component("architecture")


# --- the complete form ------------------------------------------------------------------------------------------------


def test_an_experiment_in_full_says_every_slot(catalog):
    resolved = checked(experiment(), catalog)
    assert list(resolved.to_json()) == [
        "dataset",
        "architecture",
        "loss",
        "sampler",
        "stepper",
        "optimizer",
        "callbacks",
        "metrics",
        "checkpoint",
        "lr",
        "batch_size",
        "valid_batch_size",
        "epochs",
    ]
    assert resolved.to_json()["dataset"] == {
        "component": "points",
        "plugin": "toys 1.0",
        "params": {"size": 24, "noise": 0.1},
    }


@pytest.mark.parametrize(("given", "count"), [(None, 0), ("nothing", 1), (["nothing", "something"], 2), ((), 0)])
def test_several_components_may_be_given_as_none_one_or_a_list(catalog, given, count):
    assert len(checked(experiment(callbacks=given), catalog).components("callbacks")) == count


def test_an_experiment_cannot_be_changed_in_place():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        experiment().lr = 1.0


def test_two_experiments_differ_where_their_complete_forms_do(catalog):
    one = checked(experiment(callbacks="nothing"), catalog)
    other = checked(experiment(architecture="deep", lr=0.1, callbacks=["nothing", "something"]), catalog)
    assert one.difference(other) == {
        "architecture.width": (0, 4),
        "lr": (0.05, 0.1),
        "callbacks.something": (None, "something"),
    }


def test_of_a_component_that_differs_no_parameter_is_listed(catalog):
    one, other = checked(experiment(), catalog), checked(experiment(optimizer="sgd"), catalog)
    assert one.difference(other) == {"optimizer": ("adam", "sgd")}


def test_components_of_one_name_are_told_apart_by_their_plugins(catalog):
    other = Catalog(strict=True)
    other.add_module(plugin_module(**COMPONENTS), "copies", "1.0")
    difference = checked(experiment(), catalog).difference(checked(experiment(), other))
    assert difference["optimizer"] == ("adam (toys 1.0)", "adam (copies 1.0)")


class Own(Line):
    """A user's architecture."""


def test_a_difference_names_own_classes_without_the_hash_of_their_source(catalog):
    one, other = checked(experiment(), catalog), checked(experiment(architecture=Own), catalog)
    assert one.difference(other) == {"architecture": ("line", "tests.kernel.test_study_experiment:Own")}


def test_classes_of_one_name_are_told_apart_by_the_hash_of_what_they_hold(catalog):
    def make(width: int) -> type[Line]:
        class Same(Line):
            def forward(self, x):
                return super().forward(x) * width

        return Same

    one, other = (checked(experiment(architecture=make(width)), catalog) for width in (1, 2))
    (difference,) = one.difference(other).values()
    assert difference[0] != difference[1]


# --- changes by path --------------------------------------------------------------------------------------------------


def test_a_number_is_set(set_):
    assert set_("lr=0.1", "batch_size=4").values["lr"] == 0.1


def test_a_parameter_is_set(set_):
    assert architecture(set_("architecture.width=7")).params["width"] == 7


def test_a_parameter_of_a_preset_is_set(set_):
    resolved = set_("architecture.width=7", architecture="deeper")
    assert architecture(resolved).params == {"width": 7, "bias": False}


def test_a_component_is_set_by_name_or_with_parameters(set_):
    assert set_("optimizer=sgd").component("optimizer").name == "sgd"
    assert set_("optimizer=sgd(momentum=0.9)").component("optimizer").params["momentum"] == 0.9


def test_later_assignments_win(set_):
    assert set_("lr=1.0", "lr=2.0").values["lr"] == 2.0


def test_a_parameter_may_be_set_of_a_component_that_was_set_before(set_):
    assert set_("optimizer=sgd", "optimizer.momentum=0.5").component("optimizer").params["momentum"] == 0.5


@pytest.mark.parametrize("text", ["callbacks=[nothing, something]", "callbacks=(nothing,something)"])
def test_a_list_of_components_is_set(set_, text):
    assert [c.name for c in set_(text).components("callbacks")] == ["nothing", "something"]


@pytest.mark.parametrize("text", ["callbacks=none", "callbacks.nothing=none"])
def test_components_of_a_list_are_removed(set_, text):
    assert set_(text, callbacks="nothing").components("callbacks") == []


def test_one_component_of_several_is_removed(set_):
    resolved = set_("callbacks.nothing=none", callbacks=["nothing", "something"])
    assert [c.name for c in resolved.components("callbacks")] == ["something"]


def test_one_component_of_several_is_replaced(set_):
    resolved = set_("callbacks.nothing=loud", callbacks=["nothing", "something"])
    assert [c.alias for c in resolved.components("callbacks")] == ["loud", "something"]


def test_a_parameter_of_one_component_of_several_is_set(set_):
    resolved = set_("callbacks.loud.amount=3", callbacks=["nothing", "loud"])
    assert [c.params["amount"] for c in resolved.components("callbacks")] == [1.0, 3.0]


def test_a_component_of_a_list_that_was_set_as_text_is_reached(set_):
    resolved = set_("callbacks=[nothing, something]", "callbacks.something.amount=3")
    assert [c.params["amount"] for c in resolved.components("callbacks")] == [1.0, 3.0]


def test_a_class_of_ones_own_is_reached_by_its_name(set_):
    resolved = set_("callbacks.Nothing.amount=3", callbacks=[Nothing])
    assert resolved.components("callbacks")[0].params["amount"] == 3.0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "architectur=line",
            "--set architectur=line: unknown path 'architectur'\n"
            "  did you mean: architecture?\n"
            "  an experiment has: dataset, architecture, loss, sampler, valid_sampler, stepper, optimizer, "
            "callbacks, metrics, "
            "checkpoint, lr, batch_size, valid_batch_size, epochs, vary",
        ),
        ("lr.x=1", "--set lr.x=1: unknown path 'lr.x'\n  'lr' is a value and has no 'x'"),
        ("lr 1", "cannot read --set lr 1\n  write it as PATH=VALUE, for example --set lr=0.01"),
        (
            "callbacks.nothin=none",
            "--set callbacks.nothin=none: unknown callback 'nothin'\n  did you mean: nothing?\n"
            "  callbacks here: nothing",
        ),
        (
            "metrics.worst=none",
            "--set metrics.worst=none: unknown metric 'worst'\n  metrics here: none",
        ),
        (
            "architecture.wdth.x=1",
            "--set architecture.wdth.x=1: architecture 'line' (toys 1.0): unexpected parameter 'wdth'\n"
            "  did you mean: width?\n"
            "  signature: line(features: int, *, width: int = 0, bias: bool = True)",
        ),
        (
            "architecture.width.x=1",
            "--set architecture.width.x=1: architecture 'line' (toys 1.0): "
            "'width' is 0, no component, so it has no 'x'",
        ),
        (
            "architecture.wdth=1",
            "architecture 'line' (toys 1.0): unexpected parameter 'wdth'\n"
            "  did you mean: width?\n"
            "  signature: line(features: int, *, width: int = 0, bias: bool = True)",
        ),
        ("architecture.width=wide", "--set architecture.width=wide: 'width' must be int, not 'wide'"),
        ("epochs=many", "--set epochs=many: 'epochs' must be int, not 'many'"),
        ("epochs=-1", "epochs must be at least 1, not -1"),
        ("batch_size=0", "batch_size must be at least 1, not 0"),
        ("lr=fast", "--set lr=fast: 'lr' must be float | list[float] | slice, not 'fast'"),
        ("architecture=none", "architecture: expected a component's name, use(...), a class or a function, not None"),
        (
            "architecture=lime",
            "unknown architecture 'lime'\n"
            "  did you mean: line (toys 1.0)?\n"
            "  all architectures: lab list architectures",
        ),
    ],
)
def test_a_wrong_assignment_says_what_is_wrong(set_, assignment, message):
    with pytest.raises(StudyError) as caught:
        set_(assignment, callbacks="nothing")
    assert str(caught.value) == message


@pytest.mark.parametrize("lr", [slice("a", "b"), slice(0.1, None), slice(1e-3, 0.1, 2), slice(None, True)])
def test_a_slice_of_learning_rates_is_of_numbers(catalog, lr):
    with pytest.raises(StudyError, match=r"lr as a slice must be slice\(low, high\)"):
        checked(experiment(lr=lr), catalog)


@pytest.mark.parametrize("assignment", ["lr=0.3", "optimizer=adam", "optimizer.momentum=0.9"])
def test_a_path_of_which_every_arm_has_its_own_level_is_refused_rather_than_ignored(catalog, assignment):
    study = Study(experiment()).grid(
        {"lr": [0.1, 0.2], "optimizer": {"plain": "sgd", "momentum": use("sgd", momentum=0.5)}}
    )
    with pytest.raises(StudyError, match=rf"--set {assignment}: it would change nothing, since every arm has its own"):
        override(study, [assignment], catalog)


def test_a_path_above_that_of_a_level_changes_what_is_beside_it(catalog):
    study = Study(experiment()).grid({"optimizer.momentum": [0.0, 0.5]})
    changed = override(study, ["optimizer=sgd(nesterov=true)"], catalog)
    assert {arm.experiment.value_at("optimizer.nesterov") for arm in changed.resolve(catalog)[1:]} == {True}


def test_problems_of_paths_and_of_names_are_reported_together(catalog):
    study = Study(experiment(loss="sqared", epochs="two"))
    with pytest.raises(StudyError) as caught:
        override(study, ["lrr=1", "architecture.width=wide"], catalog, where="study.py")
    assert str(caught.value) == (
        "4 problems in this study:\n"
        "  study.py\n"
        "\n"
        "--set lrr=1: unknown path 'lrr'\n"
        "  did you mean: lr?\n"
        "  an experiment has: dataset, architecture, loss, sampler, valid_sampler, stepper, optimizer, "
        "callbacks, metrics, "
        "checkpoint, lr, batch_size, valid_batch_size, epochs, vary\n"
        "\n"
        "--set architecture.width=wide: 'width' must be int, not 'wide'\n"
        "\n"
        "unknown loss 'sqared'\n"
        "  did you mean: squared (toys 1.0)?\n"
        "  all losses: lab list losses\n"
        "\n"
        "epochs must be int, not str: 'two'"
    )


def test_a_path_may_lead_into_a_list_of_nested_components(catalog):
    catalog.add_module(carts_plugin(), "carts", "1.0")
    base = experiment(architecture=use("cart", spares=["wheel", use("wheel", spokes=1)], sail="sail"))
    changed = base.changed("architecture.spares.wheel.spokes", 5, catalog)
    changed = changed.changed("architecture.sail.cloth", "silk", catalog)
    resolved = checked(changed, catalog).component("architecture")
    assert [part.params["spokes"] for part in resolved.params["spares"]] == [5, 1]
    assert resolved.params["sail"].params == {"cloth": "silk"}
    with pytest.raises(UnknownNameError) as caught:
        base.changed("architecture.spares.weel.spokes", 5, catalog)
    assert str(caught.value) == "unknown part 'weel'\n  did you mean: wheel?\n  parts here: wheel, wheel"
    with pytest.raises(ParameterError) as caught:
        base.changed("architecture.features.x", 5, catalog)
    assert str(caught.value) == (
        "architecture 'cart' (carts 1.0): 'features' is not given, no component, so it has no 'x'"
    )


# --- what the data must offer -----------------------------------------------------------------------------------------


class Needy(nn.Module):
    def __init__(self, features: int, classes: int, *, width: int = 3) -> None:
        super().__init__()


def test_a_need_that_the_data_does_not_offer_names_both_and_what_is_offered(catalog):
    catalog.add_module(plugin_module(lab_architectures={"needy": Needy}), "needs", "0.3")
    with pytest.raises(StudyError) as caught:
        checked(experiment(architecture="needy"), catalog)
    assert str(caught.value) == (
        "architecture 'needy' (needs 0.3) needs 'classes', which dataset 'points' (toys 1.0) does not offer\n"
        "  offered: features\n"
        "  or choose it: use('needy', classes=...)\n"
        f"  {place_of(Needy)}"
    )


@attrs.define
class Classified(Data):
    classes: int = 3


def classified() -> Classified:
    raise NotImplementedError


def around(inner: Data, *, share: float = 0.5) -> Classified:
    raise NotImplementedError


def test_datasets_that_would_offer_a_need_are_named(catalog):
    datasets = {"classified": classified, "around": around}
    catalog.add_module(plugin_module(lab_architectures={"needy": Needy}, lab_datasets=datasets), "needs", "0.3")
    with pytest.raises(StudyError) as caught:
        checked(experiment(architecture="needy"), catalog)
    assert "\n  datasets that offer it: use('around', inner='points'), 'classified'\n" in str(caught.value)


def other_points() -> Points:
    raise NotImplementedError


def noisy(inner: Data, *, share: float = 0.5) -> Points:
    raise NotImplementedError


@pytest.fixture
def around_points(catalog):
    """A dataset that is made around another."""
    catalog.add_module(plugin_module(lab_datasets={"noisy": noisy, "other": other_points}), "rounds", "0.3")
    return use("noisy", inner="points", share=0.1)


@pytest.mark.parametrize(
    ("written", "name"), [("other", "other"), ("other()", "other"), ("noisy(inner='other')", "noisy")]
)
def test_a_dataset_that_is_set_replaces_a_wrapper_as_a_whole(set_, around_points, written, name):
    dataset = set_(f"dataset={written}", dataset=around_points).component("dataset")
    assert (dataset.name, dataset.params.get("share")) == (name, 0.5 if name == "noisy" else None)


def test_the_dataset_inside_a_wrapper_is_set_by_its_path(set_, around_points):
    dataset = set_("dataset.inner=other", dataset=around_points).component("dataset")
    assert (dataset.name, dataset.params["inner"].name, dataset.params["share"]) == ("noisy", "other", 0.1)


def test_a_dataset_that_is_set_inside_can_be_changed_further(set_, around_points):
    dataset = set_("dataset.inner=points", "dataset.inner.size=8", dataset=around_points).component("dataset")
    assert dataset.params["inner"].params["size"] == 8


def test_a_need_that_is_chosen_is_met(catalog):
    assert checked(experiment(architecture=use(Needy, classes=3)), catalog)


def test_a_nested_component_that_is_built_needs_what_the_data_offers(catalog):
    catalog.add_module(carts_plugin(), "carts", "1.0")
    with pytest.raises(LabError, match=r"part 'sail' \(carts 1.0\) needs 'width', which dataset 'points'"):
        checked(experiment(architecture=use("cart", wheel="sail")), catalog)
    assert checked(experiment(architecture=use("cart", sail="sail")), catalog)


def undeclared(*, size: int = 4):
    return points(size=size)


def test_a_dataset_that_declares_no_type_is_trusted(catalog):
    assert checked(experiment(dataset=undeclared, architecture=Needy), catalog)


def unready(folder: str, *, size: int = 4) -> Points:
    return points(size=size)


def test_a_dataset_has_nobody_to_fill_its_needs(catalog):
    with pytest.raises(StudyError) as caught:
        checked(experiment(dataset=use(unready)), catalog)
    assert str(caught.value) == (
        f"dataset '{unready.__module__}:unready' (local): parameter 'folder' has no default and must be given"
    )


def test_what_the_caller_gives_is_no_need_of_the_data(catalog):
    resolved = checked(experiment(), catalog)
    assert resolved.component("sampler").unfilled_parameters == []
    assert resolved.component("loss").unfilled_parameters == []
    assert resolved.component("optimizer").unfilled_parameters == []


def test_a_class_of_ones_own_may_stand_in_any_slot(catalog):
    resolved = checked(experiment(architecture=use(Line, width=2), callbacks=[Nothing]), catalog)
    assert resolved.component("architecture").plugin == "local"
