"""``lab check``: components, plugins, what was found and what it exits with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lab.cli.main import cli
from tests.third_party.site import PACKAGES, lay_package

FAULTY = '''"""Losses."""
from torch.nn import functional


def total(output, target):
    """The sum over the batch."""
    return functional.cross_entropy(output, target, reduction="sum")
'''


def check(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, and a cache of one's own."""
    (tmp_path / "site").mkdir()
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def faulty(site: Path) -> None:
    """An installed plugin whose loss is a sum."""
    lay_package(PACKAGES / "lab-margin", site)
    (site / "lab_margin").rename(site / "lab_faulty")
    (info,) = site.glob("*.dist-info")
    (info / "entry_points.txt").write_text("[lab]\nlab_faulty = lab_faulty.plugin\n", encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-faulty\nVersion: 1.0\n", encoding="utf-8")
    plugin = site / "lab_faulty" / "plugin.py"
    text = plugin.read_text(encoding="utf-8").replace("lab_margin.losses:margin", "lab_faulty.total:total")
    plugin.write_text(text.replace('"margin"', '"total"'), encoding="utf-8")
    (site / "lab_faulty" / "total.py").write_text(FAULTY, encoding="utf-8")


def test_component_that_keeps_its_contract_exits_with_0() -> None:
    result = check("l1")
    assert result.stdout == "loss 'l1' (lab_basics 0.1.0)  13 checks\n1 component checked, nothing found\n"
    assert result.return_value == 0


def test_every_component_of_a_plugin_is_checked(site: Path) -> None:
    lay_package(PACKAGES / "lab-activations", site)
    result = check("lab-activations")
    assert [line.partition("  ")[0] for line in result.stdout.splitlines()] == [
        "architecture 'bent' (lab_activations 1.2.3)",
        "activation 'cube' (lab_activations 1.2.3)",
        "activation 'swish' (lab_activations 1.2.3)",
        "3 components checked, nothing found",
    ]


def test_plugin_without_components_has_nothing_to_check(site: Path) -> None:
    lay_package(PACKAGES / "lab-count", site)
    result = check("lab_count")
    assert result.return_value == 0
    assert "lab_count is loaded and adds no components: commands and hooks have tests of their own\n" in result.output


@pytest.mark.usefixtures("faulty")
def test_finding_is_shown_with_what_to_do_and_exits_with_1() -> None:
    result = check("lab_faulty")
    assert "loss 'total' (lab_faulty 1.0)  9 checks, 4 failed" in result.output
    assert "  FAILED  is a mean over the batch\n" in result.output
    assert "            take the mean over the batch, not the sum\n" in result.output
    assert result.output.endswith("1 component checked, 1 with findings\n")
    assert result.return_value == 1


def test_verbose_shows_every_check() -> None:
    assert "  ok      is a mean over the batch\n" in check("-v", "l1").output


def test_check_that_does_not_apply_is_skipped_with_the_reason() -> None:
    assert (
        "  skipped padding does not leak\n          the examples of 'classes' are not padded\n"
        in check("-v", "mlp").output
    )


def test_name_of_several_components_checks_all_and_kind_chooses_one() -> None:
    assert check("mse").output.endswith("2 components checked, nothing found\n")
    assert check("metric:mse").output.startswith("metric 'mse' (lab_basics 0.1.0)")


def test_unknown_name_gets_a_close_match() -> None:
    result = check("sortisch")
    assert str(result.exception) == (
        "unknown plugin or component 'sortisch'\n  did you mean: sortish or sort?\n  all names: lab list, lab plugins"
    )


RAISING = '"""Losses."""\n\n\ndef total(output, target):\n    """Raise."""\n    raise KeyError("scale")\n'


def test_one_failure_of_many_checks_is_not_repeated(faulty: None, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "lab_faulty" / "total.py").write_text(RAISING, encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab_faulty"]:
        monkeypatch.delitem(sys.modules, name)
    shown = check("lab_faulty").output
    assert shown.count("FAILED") == 11
    # the example data differ in three of them
    assert shown.count("KeyError: 'scale'") == 3
    assert shown.count("          as in: ") == 9


ENDLESS = '''"""Losses."""
import time


def total(output, target):
    """Wait for ever."""
    while True:
        time.sleep(0.1)
'''


def test_check_that_does_not_end_is_stopped_and_its_line_is_named(
    faulty: None, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "lab_faulty" / "total.py").write_text(ENDLESS, encoding="utf-8")
    # an earlier test imported another package of this name
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab_faulty"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("lab_basics.check_command.SILENT_S", 0.0)
    result = check("lab_faulty", "--limit", "0.3")
    assert result.return_value == 1
    assert "it did not end within 0.3 s" in result.output
    assert "total.py, line 8: time.sleep(0.1)" in result.output
    assert "more time: lab check --limit SECONDS" in result.output
    assert "loss 'total' (lab_faulty 1.0): check 2 of " in result.stderr
