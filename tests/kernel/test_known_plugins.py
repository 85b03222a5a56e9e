"""The list of known plugins: each entry keeps the contract, and what lies in this repository is as it says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from lab.cli.known import KnownPlugin, known_plugins
from lab.cli.main import cli
from lab.errors import LabError
from lab.registry.plugins import load_catalog
from tests.third_party.site import catalog_with

ROOT = Path(__file__).parents[2]
KNOWN = known_plugins()
HERE = [plugin for plugin in KNOWN if plugin.install.startswith("./")]
ENTRY = """
[[plugin]]
package = "lab-one"
summary = "One."
adds = { samplers = ["one"] }
install = "lab-one"
documentation = "https://one.example.org"
license = "MIT"
lab = ">=0.1,<0.2"
"""


@pytest.mark.parametrize("known", HERE, ids=lambda plugin: plugin.package)
def test_an_entry_says_what_its_package_adds(known: KnownPlugin, tmp_path: Path) -> None:
    folder = ROOT / known.install
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["name"], project["description"]) == (known.package, known.summary)
    assert (project["license"], project["dependencies"]) == (known.license, [f"lab-ablation{known.lab}"])
    with catalog_with(tmp_path / "site", folder) as catalog:
        (plugin,) = [plugin for plugin in catalog.plugins.values() if plugin.distribution == known.package]
        owned = catalog.collect_owned("lab_commands")
        commands = [name for name, (owner, _) in owned.items() if owner.distribution == known.package]
    found = {kind: tuple(sorted(names)) for kind, names in plugin.provides.items() if names}
    assert {**found, **({"commands": tuple(commands)} if commands else {})} == known.adds


def test_no_entry_takes_a_name_of_a_built_in_component_or_of_another_one() -> None:
    registries = load_catalog(only=[], strict=True).registries
    names = [(kind, name) for plugin in KNOWN for kind, each in plugin.adds.items() for name in each]
    assert len(names) == len({*names})
    assert [pair for pair in names if pair[0] in registries and pair[1] in registries[pair[0]]] == []


def test_every_page_of_documentation_is_there() -> None:
    pages = [plugin.documentation for plugin in KNOWN if "://" not in plugin.documentation]
    assert [page for page in pages if not (ROOT / "docs" / page).is_file()] == []


def test_the_list_is_shown_with_how_to_install_each(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"lab-sets": ("lab-sets", "0.1.0", 0)}
    monkeypatch.setattr("lab.cli.packages.installed", lambda: here)
    lines = CliRunner().invoke(cli, ["plugins", "--known"]).output.splitlines()
    assert "lab-sets  installed, 0.1.0" in lines
    assert "  samplers: effective_number" in lines
    assert [line for line in lines if line.startswith("  lab install ")] == [
        f"  lab install {p.install}" for p in KNOWN
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.replace('license = "MIT"\n', ""), "the entry lacks license"),
        (ENTRY + 'stars = "5"\n', "the entry has stars, which means nothing"),
        (ENTRY.replace('"lab-one"\nsummary', '"Lab_One"\nsummary'), "'Lab_One' is not how package indexes write"),
        (ENTRY.replace('["one"]', '"one"'), "adds has a list of names for each kind"),
        (ENTRY.replace('"One."', '"One"'), "summary is a sentence of at most 100 characters"),
        (ENTRY.replace('"MIT"', '""'), "every field but adds is a text that is not empty"),
        (ENTRY + ENTRY, "'lab-one' comes after 'lab-one'"),
    ],
)
def test_an_entry_that_breaks_the_contract_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "known-plugins.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match=message):
        known_plugins(file)


def test_an_entry_that_keeps_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "known-plugins.toml"
    file.write_text(ENTRY, encoding="utf-8")
    (plugin,) = known_plugins(file)
    assert attrs.asdict(plugin)["adds"] == {"samplers": ("one",)}
