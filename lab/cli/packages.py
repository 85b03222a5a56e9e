"""pip, in the environment that ``lab`` runs in, and what it changed there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lab.errors import LabError
from lab.registry.discovery import distributions

__all__ = ["Versions", "changed_since", "described_plugins", "installed", "plain_name", "run_pip", "versions_of"]

UNREACHABLE = re.compile(r"Retrying \(|Could not fetch URL")
"""Texts by which pip tells that it could not ask an index; its exit code is 0 all the same."""


class Versions(NamedTuple):
    """Versions of installed packages, and of those in the package index.

    Attributes:
        outdated: package → (installed, newest).
        newest: packages that have the newest version of the index.
        absent: packages that the index does not have, such as those installed from a folder.
    """

    outdated: dict[str, tuple[str, str]]
    newest: list[str]
    absent: list[str]


def versions_of(names: Iterable[str]) -> Versions:
    """Return the versions of installed packages, beside those of the package index that pip is set up with.

    Raises:
        LabError: the index cannot be reached, or there is no pip.
    """
    wanted = {plain_name(name): name for name in names}
    # pip would ask for every installed package, one after the other
    others = [f"--exclude={name}" for name in installed() if name not in wanted]
    rows, messages = [], ""
    for which in ("--outdated", "--uptodate"):
        done = _pip(["list", which, "--format", "json", "--retries", "1", *others], is_quiet=True)
        rows.append(json.loads(done.stdout or "[]"))
        messages += done.stderr
    outdated = {row["name"]: (row["version"], row["latest_version"]) for row in rows[0]}
    newest = [row["name"] for row in rows[1]]
    found = {plain_name(name) for name in (*outdated, *newest)}
    absent = [name for plain, name in wanted.items() if plain not in found]
    if absent and UNREACHABLE.search(messages):
        raise LabError(
            "the package index cannot be reached, so it is not known what is outdated",
            where=messages.strip().splitlines()[-1],
            hint="without a network there is nothing to do; for another index set PIP_INDEX_URL, as for pip",
        )
    return Versions(
        {wanted[plain_name(name)]: both for name, both in outdated.items() if plain_name(name) in wanted},
        sorted(wanted[plain_name(name)] for name in newest if plain_name(name) in wanted),
        sorted(absent),
    )


def plain_name(name: str) -> str:
    """Return the name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, tuple[str, str, int]]:
    """Return package → (name, version, when it was installed), of all packages on ``sys.path``."""
    found: dict[str, tuple[str, str, int]] = {}
    for folder, name, version in distributions():
        if plain_name(name) not in found:
            found[plain_name(name)] = name, version, os.stat(folder).st_mtime_ns
    return found


def changed_since(before: dict[str, tuple[str, str, int]]) -> tuple[set[str], list[str]]:
    """Return the packages that were installed anew since ``before``, and a line for each that had another version."""
    now = installed()
    anew = {name for name, what in now.items() if before.get(name) != what}
    others = sorted(name for name in anew if name in before and before[name][1] != now[name][1])
    return anew, [f"{now[name][0]} {before[name][1]} → {now[name][1]}" for name in others]


def described_plugins() -> list[dict[str, Any]]:
    """Return what ``lab plugins`` says in a new process, which sees modules that this one has imported as they are now.

    Raises:
        LabError: it does not start.
    """
    command = [sys.executable, "-m", "lab", "plugins", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)["plugins"]  # type: ignore[no-any-return]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LabError(
            "lab does not start any more",
            where=lines[-1],
            hint="LAB_DISABLE_THIRD_PARTY=1 lab uninstall NAME takes a plugin away without loading it",
        ) from None


def run_pip(arguments: Sequence[str]) -> None:
    """Run pip in this environment; its messages are shown as it works.

    Raises:
        LabError: there is no pip, or it failed.
    """
    _pip(arguments, is_quiet=False)


def _pip(arguments: Sequence[str], *, is_quiet: bool) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    pipe = subprocess.PIPE if is_quiet else None
    done = subprocess.run(command, stdout=pipe, stderr=pipe, text=True, check=False)
    if done.returncode == 0:
        return done
    if not _has_pip():
        raise LabError(
            "this environment has no pip",
            where=sys.prefix,
            hint=f"python -m ensurepip, or with uv: uv pip install --python {sys.executable} NAME",
        )
    said = (done.stderr or "").strip()
    hint = said.splitlines()[-1] if said else "pip says why above"
    raise LabError(f"pip {arguments[0]} failed with exit code {done.returncode}", where=sys.prefix, hint=hint)


def _has_pip() -> bool:
    return any((Path(folder or ".") / "pip" / "__init__.py").is_file() for folder in sys.path)
