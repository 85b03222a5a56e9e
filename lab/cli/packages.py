"""pip, in the environment that ``lab`` runs in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence

from lab.errors import LabError

__all__ = ["outdated_of", "plain_name", "run_pip"]


def outdated_of(distributions: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return distribution → (installed version, newest version), of those that are outdated; asks the package index.

    Raises:
        LabError: the index cannot be asked.
    """
    wanted = {plain_name(name): name for name in distributions}
    rows = json.loads(run_pip(["list", "--outdated", "--format", "json"], is_quiet=True) or "[]")
    return {
        wanted[plain_name(row["name"])]: (row["version"], row["latest_version"])
        for row in rows
        if plain_name(row["name"]) in wanted
    }


def plain_name(name: str) -> str:
    """Return the name of a distribution as package indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


def run_pip(arguments: Sequence[str], *, is_quiet: bool = False) -> str:
    """Run pip in this environment and return its output; its messages are shown as it works.

    Raises:
        LabError: there is no pip, or it failed.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE if is_quiet else None, text=True, check=False)
    if done.returncode != 0:
        hint = "what pip printed above says why; without pip in this environment: python -m ensurepip"
        raise LabError(f"pip {arguments[0]} failed with exit code {done.returncode}", where=sys.prefix, hint=hint)
    return done.stdout or ""
