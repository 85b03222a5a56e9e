"""References, presets, and the one rule of binding."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pydantic
import pytest
from torch import nn

from lab import preset, use
from lab.errors import ParameterError, PluginError, UnknownNameError
from lab.registry.component import as_use
from lab.registry.plugins import Catalog
from lab.registry.resolve import Resolver
from lab.registry.resolved import Component
from lab.registry.signature import Parameter
from lab.registry.text import read_component_text, read_text
from lab.registry.values import check_value, describe_type, parse_text
from tests.kernel.toys import Line, Wheel, carts_plugin, plugin_module


def anything(**options: Any) -> dict[str, Any]:
    return options


@pytest.fixture
def carts() -> Catalog:
    catalog = Catalog(strict=True)
    catalog.add_module(carts_plugin(anything=anything), "carts", "2.0")
    return catalog


@pytest.fixture
def resolve(carts: Catalog) -> Callable[..., Component]:
    def resolve(reference: Any, kind: str = "architectures") -> Component:
        resolver = Resolver(carts)
        component = resolver.resolve(kind, reference)
        assert resolver.problems == []
        return component

    return resolve


@pytest.fixture
def problems(carts: Catalog) -> Callable[..., list[str]]:
    def problems(reference: Any, kind: str = "architectures") -> list[str]:
        resolver = Resolver(carts)
        assert resolver.resolve(kind, reference) is None
        return resolver.problems

    return problems


# --- references -------------------------------------------------------------------------------------------------------


def test_use_shows_itself_as_it_is_written():
    assert repr(use("adam", betas=(0.8, 0.99))) == "use('adam', betas=(0.8, 0.99))"
    assert repr(use(Line, width=3)) == "use(Line, width=3)"


def test_a_parameter_may_be_called_target():
    assert use("adam", target=1).params == {"target": 1}


def test_a_partial_is_its_function_with_parameters():
    assert as_use(functools.partial(Line, width=3)) == use(Line, width=3)


@pytest.mark.parametrize("wrong", [3, None, ["adam"]])
def test_what_is_no_reference_is_refused(wrong):
    with pytest.raises(TypeError, match="expected a component's name, use"):
        as_use(wrong)


def test_an_object_is_refused_although_it_may_be_called(problems):
    found = problems(nn.Linear(1, 1))
    assert found == [
        "architecture: expected a component's name, use(...), a class or a function, "
        "not Linear(in_features=1, out_features=1, bias=True)"
    ]


# --- the rule ---------------------------------------------------------------------------------------------------------


def test_a_parameter_without_default_is_a_need_and_one_with_default_is_a_choice(resolve):
    cart = resolve("cart")
    assert cart.needs == ("features",)
    assert set(cart.params) == {"wheel", "sail", "spares", "load_kg", "name", "sizes", "ready"}


def test_needs_are_filled_from_the_facts_of_the_same_name(resolve):
    assert resolve("cart").build({"features": 5, "other": 6}).features == 5


def test_a_need_may_be_chosen_and_is_then_no_need(resolve):
    cart = resolve(use("cart", features=7))
    assert cart.needs == ()
    assert cart.build({"features": 5}).features == 7


def test_the_plain_form_says_every_choice(resolve):
    assert resolve(use("cart", load_kg=2)).to_json() == {
        "component": "cart",
        "plugin": "carts 2.0",
        "params": {
            "wheel": {"component": "wheel", "plugin": "carts 2.0", "params": {"spokes": 8}},
            "sail": None,
            "spares": [],
            "load_kg": 2.0,
            "name": "cart",
            "sizes": [1, 2],
            "ready": False,
        },
        # of what JSON does not tell
        "types": {"sizes": "tuple"},
    }


def test_plugin_and_name_are_accepted_wherever_the_name_is(resolve):
    assert resolve("carts:cart").to_json() == resolve("cart").to_json()


def test_open_parameters_take_any_name(resolve):
    assert resolve(use("anything", colour="red", size=3)).build({}) == {"colour": "red", "size": 3}


# --- presets ----------------------------------------------------------------------------------------------------------


def test_a_preset_is_the_component_with_other_defaults(resolve):
    assert resolve("open_cart").to_json() == resolve(use("cart", ready=True)).to_json()


def test_a_preset_of_a_preset_adds_up(resolve):
    assert resolve("open_thin_cart").to_json() == resolve(use("cart", ready=True, wheel="thin_wheel")).to_json()


def test_the_researcher_wins_over_the_preset(resolve):
    assert resolve(use("open_cart", ready=False)).to_json() == resolve("cart").to_json()


def test_a_preset_keeps_the_name_that_was_used(resolve):
    assert resolve("open_cart").name == "cart"
    assert resolve("open_cart").alias == "open_cart"


def test_a_preset_of_nothing_says_whose_it_is(problems, carts):
    carts.add_module(plugin_module(lab_architectures={"lost": preset("carrt")}), "lost", "0.1")
    assert problems("lost") == [
        "architecture 'lost' (lost 0.1) is a preset of an unknown architecture 'carrt'\n"
        "  did you mean: cart (carts 2.0)?\n"
        "  all architectures: lab list architectures"
    ]


def test_presets_of_each_other_are_an_error(problems, carts):
    carts.add_module(plugin_module(lab_architectures={"one": preset("two"), "two": preset("one")}), "round", "0.1")
    assert problems("one") == ["architecture 'two' (round 0.1) is a preset of itself: one → two → one"]


# --- nested components ------------------------------------------------------------------------------------------------


def test_a_nested_component_arrives_built(resolve):
    assert resolve("cart").build({"features": 1}).wheel.spokes == 8
    assert resolve(use("cart", wheel=use("wheel", spokes=4))).build({"features": 1}).wheel.spokes == 4


def test_a_nested_component_may_be_absent(resolve):
    assert resolve(use("cart", wheel=None)).build({"features": 1}).wheel is None


def test_a_nested_component_may_be_a_class_of_ones_own(resolve):
    cart = resolve(use("cart", wheel=Wheel)).build({"features": 1})
    assert isinstance(cart.wheel, Wheel)


def test_a_nested_factory_is_called_by_its_parent(resolve):
    cart = resolve(use("cart", sail=use("sail", cloth="silk"))).build({"features": 1})
    assert (cart.sail.width, cart.sail.cloth) == (3, "silk")


def test_several_nested_components_arrive_built_in_order(resolve):
    cart = resolve(use("cart", spares=["wheel", use("wheel", spokes=2)])).build({"features": 1})
    assert [part.spokes for part in cart.spares] == [8, 2]


def test_walking_meets_every_component_inside(resolve):
    cart = resolve(use("cart", sail="sail", spares=["thin_wheel"]))
    assert [component.name for component in cart.walk()] == ["cart", "wheel", "sail", "wheel"]
    assert [component.name for component in cart.walk_built()] == ["cart", "wheel", "wheel"]


def test_a_wrong_nested_name_says_where_it_stands(problems):
    assert problems(use("cart", wheel="weel")) == [
        "architecture 'cart' (carts 2.0): parameter 'wheel': unknown part 'weel'\n"
        "  did you mean: wheel (carts 2.0)?\n"
        "  all parts: lab list parts"
    ]


def test_a_wrong_parameter_of_a_nested_component_names_the_nested_component(problems):
    assert problems(use("cart", wheel=use("wheel", spoke=1))) == [
        "part 'wheel' (carts 2.0): unexpected parameter 'spoke'\n"
        "  did you mean: spokes?\n"
        "  signature: wheel(*, spokes: int = 8)"
    ]


# --- problems ---------------------------------------------------------------------------------------------------------


def test_an_unknown_name_gives_close_matches_with_their_plugins(problems):
    assert problems("caart") == [
        "unknown architecture 'caart'\n  did you mean: cart (carts 2.0)?\n  all architectures: lab list architectures"
    ]


def test_an_unknown_parameter_gives_a_close_match_and_the_signature(problems):
    assert problems(use("cart", load=3)) == [
        "architecture 'cart' (carts 2.0): unexpected parameter 'load'\n"
        "  did you mean: load_kg?\n"
        "  signature: cart(features: int, *, wheel: Part | None = 'wheel', sail: Callable[..., Part] | None = None, "
        "spares: Sequence[Part] = (), load_kg: float = 1.0, name: str = 'cart', sizes: tuple[int, ...] = (1, 2), "
        "ready: bool = False)"
    ]


def test_every_problem_of_a_component_is_gathered(problems):
    assert len(problems(use("cart", a=1, b=2, load_kg="heavy"))) == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("load_kg", "heavy", "must be float, not str: 'heavy'"),
        ("load_kg", True, "must be float, not bool: True"),
        ("load_kg", None, "must be float, not NoneType: None"),
        ("name", 3, "must be str, not int: 3"),
        ("sizes", (1, "2"), "must be tuple[int, ...], not tuple: (1, '2')"),
        ("ready", 1, "must be bool, not int: 1"),
        ("load_kg", use("wheel"), "is not a component but float"),
    ],
)
def test_a_wrong_type_names_the_type(problems, name, value, message):
    assert problems(use("cart", **{name: value})) == [f"architecture 'cart' (carts 2.0): parameter '{name}' {message}"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("load_kg", 2, 2.0),
        ("sizes", [1, 2, 3], (1, 2, 3)),
    ],
)
def test_values_are_read_as_the_annotation_wants_them(resolve, name, value, expected):
    found = resolve(use("cart", **{name: value})).params[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.fixture
def read(carts: Catalog) -> Callable[[str], Any]:
    """Read a component as a command line gives it."""
    slot = Parameter("architecture", registry=carts.registry("architectures"))
    return lambda text: read_text(text, slot, carts)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("load_kg", "2", 2.0),
        ("name", "64", "64"),
        ("name", "'64'", "64"),
        ("ready", "True", True),
        ("ready", "false", False),
        ("sizes", "(4, 5)", (4, 5)),
        ("sizes", "[4,5]", (4, 5)),
        ("wheel", "none", None),
        ("wheel", "wheel(spokes=2)", use("wheel", spokes=2)),
        ("spares", "[wheel, wheel(spokes=2)]", ["wheel", use("wheel", spokes=2)]),
    ],
)
def test_texts_are_read_by_the_annotation(read, name, text, expected):
    found = read(f"cart({name}={text})").params[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cart(load_kg=heavy)", "'load_kg' must be float, not 'heavy'"),
        ("cart(ready=maybe)", "'ready' must be bool, not 'maybe'"),
        ("cart(wheel=wheel(spokes=many))", "'spokes' must be int, not 'many'"),
    ],
)
def test_a_text_that_does_not_fit_names_the_type(read, text, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        read(text)


def test_a_component_may_be_written_as_text_with_parameters(resolve, read):
    cart = resolve(read("cart(load_kg=3, wheel=wheel(spokes=2), name='x')"))
    assert cart.to_json() == resolve(use("cart", load_kg=3.0, wheel=use("wheel", spokes=2), name="x")).to_json()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("adam", "adam"),
        ("basics:adam", "basics:adam"),
        ("[a, b(c=1)]", ["a", use("b", c="1")]),
        ("two words", "two words"),
    ],
)
def test_component_text_is_read(text, expected):
    assert read_component_text(text) == expected


def test_a_value_that_cannot_be_written_down_is_a_problem(problems):
    (found,) = problems(use("anything", thing=object()))
    assert found.startswith(
        "architecture 'anything' (carts 2.0): parameter 'thing' cannot be written down: <object object at"
    )


def test_a_component_that_is_no_function_is_a_problem(problems, carts):
    carts.add_module(plugin_module(lab_architectures={"number": "math:pi"}), "maths", "0.1")
    assert problems("number") == ["architecture 'number' (maths 0.1) is not callable: 3.141592653589793"]


# --- foreign and local definitions ------------------------------------------------------------------------------------


def test_a_class_of_a_foreign_library_may_stand_for_a_name(resolve):
    linear = resolve(use(nn.Linear, in_features=2, out_features=3))
    assert linear.build({}).weight.shape == (3, 2)
    assert linear.to_json() == {
        "component": "torch.nn.modules.linear:Linear",
        "plugin": "local",
        "params": {"in_features": 2, "out_features": 3, "bias": True, "device": None, "dtype": None},
    }


def test_a_foreign_class_knows_its_parameters(problems):
    assert problems(use(nn.Linear, in_feature=2)) == [
        "architecture 'torch.nn.modules.linear:Linear' (local): unexpected parameter 'in_feature'\n"
        "  did you mean: in_features or out_features?\n"
        "  signature: torch.nn.modules.linear:Linear(in_features: int, out_features: int, *, bias: bool = True, "
        "device = None, dtype = None)"
    ]


def test_a_function_as_a_parameter_is_written_as_where_it_is_from(resolve):
    component = resolve(use("anything", activation=nn.functional.relu, layer=nn.ReLU))
    assert component.to_json()["params"] == {
        "activation": "torch.nn.functional:relu",
        "layer": "torch.nn.modules.activation:ReLU",
    }


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_component_is_imported_when_it_is_used(carts):
    module = plugin_module(lab_losses={"gone": "lab.no_such_module:gone", "odd": "math:no_such_function"})
    carts.add_module(module, "broken", "0.1")
    assert "gone" in carts.registry("losses")
    with pytest.raises(PluginError) as caught:
        carts.registry("losses")["gone"].load()
    first, second, third = str(caught.value).splitlines()
    assert first == "cannot load 'lab.no_such_module:gone'"
    assert re.fullmatch(r"  loss 'gone' \(broken 0\.1\), registered in .*toys\.py, line \d+", second)
    assert third == "  ModuleNotFoundError: No module named 'lab.no_such_module'"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_kinds_are_found_by_plural_and_singular(carts):
    assert carts.registry("part") is carts.registry("parts")
    with pytest.raises(UnknownNameError) as caught:
        carts.registry("prts")
    assert str(caught.value) == (
        "unknown kind 'prts'\n"
        "  did you mean: parts?\n"
        "  kinds: datasets, architectures, losses, samplers, steppers, callbacks, optimizers, metrics, executors, "
        "tasks, searchers, parts"
    )


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float | list[float] | slice, "float | list[float] | slice"),
        (Callable[[int, str], nn.Module], "Callable[[int, str], Module]"),
        (Callable[..., None], "Callable[..., None]"),
        (dict[str, tuple[int, ...]], "dict[str, tuple[int, ...]]"),
        (Literal["gru", "lstm"], "'gru' | 'lstm'"),
        (Any, "Any"),
        ("NotImported", "NotImported"),
    ],
)
def test_types_are_described_as_they_are_written(annotation, text):
    assert describe_type(annotation) == text


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (0, pydantic.PositiveInt, "must be int above 0, not 0"),
        (1.5, pydantic.PositiveInt, "must be int above 0, not float: 1.5"),
        (-1, pydantic.PositiveInt | None, "must be int above 0 | None, not int: -1"),
        (math.nan, pydantic.NonNegativeFloat, "must be float at least 0, not nan"),
        (2.0, Annotated[float, pydantic.Field(ge=0, le=1)], "must be float at least 0 and at most 1, not 2.0"),
        ([8, 0], list[pydantic.PositiveInt], "must be list[int above 0], not list: [8, 0]"),
    ],
)
def test_a_number_outside_of_the_range_of_its_annotation_is_refused_with_the_range(value, annotation, message):
    with pytest.raises(TypeError) as caught:
        check_value(value, annotation)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "annotation", "value"), [("3", pydantic.PositiveInt, 3), ("none", pydantic.PositiveFloat | None, None)]
)
def test_a_text_within_the_range_of_an_annotation_is_read(text, annotation, value):
    assert parse_text(text, annotation) == value
