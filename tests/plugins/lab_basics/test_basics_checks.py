"""Parameters of architectures that are out of range are refused by the name of the component and the parameter."""

from __future__ import annotations

from typing import Any

import pytest
from lab_basics.checks import check_probabilities, check_sizes, dropout_by_layer

from lab import Experiment, use
from lab.errors import LabError, ParameterError
from lab.registry.plugins import load_catalog

TABLE = {
    "category_sizes": (3, 4),
    "continuous_count": 2,
    "output_size": 2,
    "target_mean": 0.0,
    "target_deviation": 1.0,
    "category_names": ("a", "b"),
}
PICTURES = {"input_size": 64, "channels": 1, "image_size": (8, 8), "output_size": 10}
FACTS = {**TABLE, **PICTURES, "vocab_size": 20}


def test_none_and_empty_lists_are_no_sizes() -> None:
    check_sizes("here", width=None, layers=[], blocks=((1, 16), (2, 32)))
    check_probabilities("here", dropout=[0, 1.0], other=None)


def test_not_a_number_is_no_probability() -> None:
    with pytest.raises(LabError, match="dropout must be between 0 and 1, got nan"):
        check_probabilities("here", dropout=float("nan"))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (use("mlp", hidden_size=-3), "hidden_size must be at least 1, got -3"),
        (use("mlp", dropout=1.5), "dropout must be between 0 and 1, got 1.5"),
        (use("image_mlp", layers=[64, -3]), "layers must be at least 1, got -3 in [64, -3]"),
        (use("image_mlp", dropout=-0.1), "dropout must be between 0 and 1, got -0.1"),
        (use("course_net", widths=[8, 0]), "widths must be at least 1, got 0 in [8, 0]"),
        (use("course_net", widths=[]), "widths is empty"),
        (use("course_net", further=-1), "further must be at least 0, got -1"),
        (use("resnet18", width=0), "width must be at least 1, got 0"),
        (use("densenet", blocks=[4, -4]), "blocks must be at least 1, got -4 in [4, -4]"),
        (use("alexnet", dense_size=0), "dense_size must be at least 1, got 0"),
        (use("tabular_mlp", layers=[200, -1]), "layers must be at least 1, got -1 in [200, -1]"),
        (use("tabular_mlp", layers=[20], dropout=[2.0]), "dropout must be between 0 and 1, got 2.0 in [2.0]"),
        (use("tabular_mlp", embedding_dropout=2.0), "embedding_dropout must be between 0 and 1, got 2.0"),
        (use("char_rnn", hidden_size=0), "hidden_size must be at least 1, got 0"),
        (use("char_rnn", dropout=1.5), "dropout must be between 0 and 1, got 1.5"),
        (use("lenet"), "pictures of 8 × 8 pixels are too small: at least 12 are needed"),
        (use("alexnet"), "pictures of 8 × 8 pixels are too small: at least 63 are needed"),
    ],
)
def test_the_error_names_the_parameter_and_the_architecture(architecture: Any, message: str) -> None:
    data = {"mlp": "points", "tabular_mlp": "bundled_table", "char_rnn": "char_text"}.get(architecture.name, "digits")
    recipe = Experiment(dataset=data, architecture=architecture, loss="cross_entropy")
    resolved, problems = recipe.resolve(load_catalog())
    assert not problems
    assert resolved is not None
    component = {"image_mlp": "softmax", "resnet18": "resnet"}.get(architecture.name, architecture.name)
    with pytest.raises(LabError) as caught:
        resolved.component("architecture").build(FACTS)
    first, where, *_ = str(caught.value).splitlines()
    assert (first, where) == (message, f"  architecture '{component}'")


def test_dropout_is_one_number_for_all_hidden_layers_or_one_each():
    assert dropout_by_layer("architecture 'mlp'", 0.5, [8, 8]) == [0.5, 0.5]
    assert dropout_by_layer("architecture 'mlp'", [0.2, 0.5], [8, 8]) == [0.2, 0.5]


@pytest.mark.parametrize(
    ("dropout", "message"), [([0.2], "1 dropouts for 2 layers"), ([0.2, 1.5], "between 0 and 1"), (-1.0, "between")]
)
def test_dropouts_that_do_not_fit_the_layers_are_refused(dropout, message):
    with pytest.raises(ParameterError, match=message):
        dropout_by_layer("architecture 'mlp'", dropout, [8, 8])
