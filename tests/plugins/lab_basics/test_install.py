"""``lab install``, ``lab uninstall`` and ``lab plugins --outdated``, with wheels in a folder instead of an index."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.cli import packages
from lab.cli.main import cli
from lab.errors import LabError
from tests.kernel.test_scaffold_installed import Machine

SAMPLER = """
from lab import hookimpl

@hookimpl
def lab_samplers():
    return {"striped_twice": "lab_twice.samplers:Twice"}
"""


def wheel(folder: Path, name: str, version: str, plugin: str | None = SAMPLER, requires: Sequence[str] = ()) -> Path:
    """Write a wheel with one plugin, or with none, into a folder."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    files = {
        f"{module}/__init__.py": "",
        f"{module}/plugin.py": plugin or "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if plugin is not None:
        files[f"{info}/entry_points.txt"] = f"[lab]\n{module} = {module}.plugin\n"
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(inside, text)
    return path


class Index:
    """A machine whose pip knows a folder of wheels, and no network."""

    def __init__(self, folder: Path) -> None:
        self.machine, self.folder = Machine(folder), folder / "wheels"
        self.folder.mkdir()

    def __call__(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder), "PIP_CONFIG_FILE": "/dev/null"}
        return self.machine("lab", *arguments, expect=expect, **{**offline, **variables})


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return Index(tmp_path_factory.mktemp("index"))


@pytest.mark.slow
@pytest.mark.xdist_group("installed")
class TestInEnvironment:
    """In this order: later tests go on with the environment of earlier ones."""

    def test_a_plugin_is_installed_and_what_it_adds_is_told(self, index: Index) -> None:
        wheel(index.folder, "lab-twice", "1.0")
        said = index("install", "lab-twice")
        assert said.endswith(
            "lab_twice 1.0 (lab-twice)  loaded\n  samplers: striped_twice\n  try it: lab check lab_twice\n"
        )

    def test_installed_again_nothing_changes(self, index: Index) -> None:
        assert "nothing changed: " in index("install", "lab-twice")

    def test_a_newer_version_is_found_and_taken(self, index: Index) -> None:
        assert index("plugins", "--outdated") == "newest: lab-twice\n"
        wheel(index.folder, "lab-twice", "1.1")
        assert index("plugins", "--outdated") == "lab-twice  1.0 → 1.1\n  lab install --upgrade lab-twice\n"
        assert "lab_twice 1.1 (lab-twice)  loaded" in index("install", "-U", "lab-twice")

    def test_options_of_pip_are_passed_on(self, index: Index, tmp_path: Path) -> None:
        wheel(tmp_path, "lab-elsewhere", "0.3")
        assert "lab_elsewhere 0.3" in index("install", "lab-elsewhere", "--find-links", str(tmp_path), "--no-deps")
        assert index("plugins", "--outdated") == "newest: lab-twice\nnot in the package index: lab-elsewhere\n"

    def test_without_an_index_it_is_told_that_nothing_is_known(self, index: Index) -> None:
        nowhere = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
        said = index("plugins", "--outdated", expect=2, **nowhere)
        assert said.startswith("lab: the package index cannot be reached, so it is not known what is outdated\n")

    def test_a_package_without_a_plugin_is_told(self, index: Index) -> None:
        wheel(index.folder, "plain-package", "1.0", plugin=None)
        said = index("install", "plain-package")
        assert "installed, but no plugin of lab is in it: plain-package" in said
        assert "'plain-package' is no package with a plugin of lab" in index(
            "uninstall", "-y", "plain-package", expect=2
        )

    def test_a_requirement_that_pip_changed_is_told(self, index: Index) -> None:
        wheel(index.folder, "plain-package", "2.0", plugin=None)
        wheel(index.folder, "lab-needy", "1.0", plugin="", requires=["plain-package>=2"])
        said = index("install", "lab-needy")
        assert "lab_needy 1.0 (lab-needy)  loaded\n  no components: it adds commands, or acts in hooks" in said
        assert "pip also changed: plain-package 1.0 → 2.0" in said

    def test_a_plugin_that_cannot_be_loaded_is_named_and_removed(self, index: Index) -> None:
        wheel(index.folder, "lab-ruined", "1.0", plugin="import no_such_module")
        said = index("install", "lab-ruined", expect=2)
        assert "lab: installed, but plugin 'lab_ruined' could not be loaded\n" in said
        assert "no_such_module" in said
        assert "take it away: lab uninstall lab-ruined" in said
        assert "removed: lab_ruined\n" in index("uninstall", "-y", "lab_ruined")

    def test_what_pip_cannot_find_is_no_traceback(self, index: Index) -> None:
        said = index("install", "lab-nowhere", expect=2)
        assert "No matching distribution found for lab-nowhere" in said
        assert "lab: pip install failed with exit code 1" in said
        assert "Traceback" not in said

    def test_packages_are_removed_by_their_name_or_that_of_their_plugin(self, index: Index) -> None:
        assert "removed: lab_elsewhere, lab_twice\n" in index("uninstall", "-y", "lab_twice", "lab-elsewhere")
        assert "striped_twice" not in index("list", "samplers")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The calls of pip, which does nothing."""
    found: list[list[str]] = []

    def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        found.append(list(command))
        return subprocess.CompletedProcess(command, 0, stdout='{"plugins": []}', stderr="")

    monkeypatch.setattr(packages.subprocess, "run", run)
    return found


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_packages_are_installed_into_the_environment_that_lab_runs_in(calls: list[list[str]]) -> None:
    lab("install", "--upgrade", "lab-cosine", "-e", "./one", "-e", "./two", "--index-url", "https://here")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--upgrade"]
    rest = ["--editable", "./one", "--editable", "./two", "lab-cosine", "--index-url", "https://here"]
    assert calls[0] == [*pip, *rest]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("uninstall", "-y", "numpy"), "'numpy' is no package with a plugin of lab\n  installed: "),
        (("uninstall", "-y", "lab_text"), "'lab_text' comes with lab and cannot be removed alone\n  lab --without"),
        (("uninstall", "-y", "lab-ablation"), "'lab-ablation' comes with lab and cannot be removed alone"),
        (("install", "lab_text"), "plugin 'lab_text' comes with lab\n  it is installed"),
        (("install", "lab-ablation"), "'lab-ablation' is lab itself, which does not replace itself while it runs"),
        (("install",), "name a package: lab install lab-cosine"),
    ],
)
def test_lab_itself_and_strangers_are_left_alone(
    arguments: tuple[str, ...], message: str, calls: list[list[str]]
) -> None:
    done = CliRunner().invoke(cli, list(arguments), standalone_mode=False)
    assert str(done.exception).startswith(message)
    assert calls == []


def test_without_pip_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packages.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "")
    )
    monkeypatch.setattr(packages, "_has_pip", lambda: False)
    with pytest.raises(LabError, match="this environment has no pip"):
        packages.run_pip(["install", "nothing"])


def test_without_third_party_plugins_nothing_is_asked(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.registry.discovery.find_entry_points", lambda group: [])
    assert lab("plugins", "--outdated").output == "no third-party plugins\n"
    assert calls == []
