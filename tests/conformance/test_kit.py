"""The conformance kit as a plugin author uses it: what a class of tests may say, and what it is told when it errs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

import lab.testing
from lab import use
from lab.testing import (
    ArchitectureConformance,
    Conformance,
    Finding,
    LossConformance,
    NotApplicable,
    conformance_of,
)
from lab.testing.conformance import installed
from lab.testing.runner import KINDS, run_check


class TestNetwork(ArchitectureConformance):
    """As an author writes it; pytest runs every check."""

    component = use("mlp", hidden_size=4, dropout=0.2)


class TestWithAnException(ArchitectureConformance):
    """One check is left out, with the reason."""

    component = "mlp"
    examples = ("classes",)
    exceptions = {"test_moves_to_double_precision": "it is only ever used in single precision"}  # noqa: RUF012


def test_check_that_is_excepted_is_skipped_with_its_reason() -> None:
    outcome = run_check(TestWithAnException, "test_moves_to_double_precision")
    assert (outcome.status, outcome.text) == ("skipped", "it is only ever used in single precision")


class Squeezing(nn.Module):
    """Forgets the batch dimension of a single example."""

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(input_size, output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        return self.layer(inputs).squeeze(0)


def squeezing_loss(output: Tensor, target: Tensor) -> Tensor:
    """Fail on a single example, where the outer dimension is gone."""
    return nn.functional.nll_loss(output.squeeze(0).log_softmax(1), target)


@pytest.mark.parametrize(
    ("base", "component"), [(ArchitectureConformance, Squeezing), (LossConformance, squeezing_loss)]
)
def test_components_are_tried_on_a_batch_of_one(base: type[Conformance], component: Any) -> None:
    kind = type("TestOne", (base,), {"component": component, "examples": ("classes",)})
    assert run_check(kind, "test_takes_a_batch_of_one").status == "failed"


def test_exception_for_no_check_is_an_error() -> None:
    with pytest.raises(TypeError, match="unknown check 'test_moves_to_doubles'; did you mean: test_moves_to"):
        type("TestTypo", (ArchitectureConformance,), {"exceptions": {"test_moves_to_doubles": "typo"}})


def test_unknown_example_data_are_named() -> None:
    kind = type("TestTypo", (LossConformance,), {"component": "l1", "examples": ("valeus",)})
    with pytest.raises(Finding, match="unknown example data 'valeus'\n  example data: "):
        kind().fitting()


def test_component_must_work_on_every_example_that_it_names() -> None:
    kind = type("TestBoth", (LossConformance,), {"component": "cross_entropy", "examples": ("classes", "values")})
    with pytest.raises(Finding, match="does not work on its example data\n  values: cross_entropy: output"):
        kind().fitting()


def test_every_kind_of_the_kernel_has_a_conformance_class() -> None:
    from lab.registry.hookspecs import KERNEL_REGISTRIES

    assert {spec.name for spec in KERNEL_REGISTRIES} == {*KINDS}


def test_registry_of_a_plugin_has_the_class_that_the_plugin_offers() -> None:
    entry = installed().registry("attentions")["dot"]
    assert conformance_of(entry, installed()).__mro__[1].__module__ == "lab_attention.conformance"


def test_every_check_says_in_words_what_holds() -> None:
    for kind in KINDS.values():
        for name in kind.checks():
            assert getattr(kind, name).__doc__, f"{kind.__name__}.{name}"


def test_skipping_needs_no_pytest() -> None:
    import unittest

    assert issubclass(NotApplicable, unittest.SkipTest)
    files = Path(lab.testing.__file__).parent.glob("*.py")
    assert not [file.name for file in files if "import pytest" in file.read_text("utf-8")]


def test_general_checks_come_first() -> None:
    general = ["test_name_and_parameters_resolve", "test_signature_is_documented"]
    general += ["test_leaves_the_process_alone", "test_plugin_is_imported_quickly"]
    assert Conformance.checks() == general
    assert all(kind.checks()[:4] == general for kind in KINDS.values())
