"""``lab install``, ``lab uninstall`` and ``lab plugins --outdated``: how pip is asked, and what is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.cli import packages
from lab.cli.main import cli
from lab.errors import LabError


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The calls of pip, which does nothing."""
    found: list[list[str]] = []

    def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        found.append(list(command))
        return subprocess.CompletedProcess(command, 0, stdout="[]")

    monkeypatch.setattr(packages.subprocess, "run", run)
    return found


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_packages_are_installed_into_the_environment_that_lab_runs_in(calls: list[list[str]]) -> None:
    done = lab("install", "--upgrade", "lab-cosine", "./here")
    assert calls == [
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--upgrade", "lab-cosine", "./here"]
    ]
    assert done.output == "installed; no new plugin of lab is in lab-cosine, ./here\n"


def test_new_plugins_are_named(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{"lab_basics"}, {"lab_basics", "lab_cosine"}])
    monkeypatch.setattr("lab_basics.install_command._plugins", lambda: next(answers))
    assert lab("install", "lab-cosine").output.startswith("new plugins: lab_cosine\n")


def test_only_packages_with_plugins_are_removed(calls: list[list[str]]) -> None:
    done = lab("uninstall", "-y", "numpy")
    assert str(done.exception).startswith("'numpy' is no package with a plugin of lab\n  installed: ")
    assert calls == []


def test_a_failure_of_pip_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packages.subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 1, stdout=None)
    )
    with pytest.raises(LabError, match="pip install failed with exit code 1"):
        packages.run_pip(["install", "nothing"])


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def listed(*rows: dict[str, str]) -> None:
        monkeypatch.setattr(packages, "run_pip", lambda arguments, **options: json.dumps(rows))

    return listed


def test_outdated_packages_are_found_by_their_name_as_indexes_write_it(listed: Callable[..., None]) -> None:
    listed(
        {"name": "lab-cosine", "version": "0.1", "latest_version": "0.2"},
        {"name": "numpy", "version": "1", "latest_version": "2"},
    )
    assert packages.outdated_of(["lab_cosine", "lab-other"]) == {"lab_cosine": ("0.1", "0.2")}


def test_without_third_party_plugins_nothing_is_asked(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DISABLE_THIRD_PARTY", "1")
    assert lab("plugins", "--outdated").exit_code == 0
