"""No number of a run changes by the presence of a plugin that it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.third_party.hostile import HOSTILE, REFUSED, TOLD
from tests.third_party.site import lay_module

SCRIPT = Path(__file__).with_name("hostile_run.py")


def answer(folder: Path, plugins: dict[str, str]) -> tuple[Any, str]:
    """Return the runs of the study with these plugins installed, and what stderr was told."""
    site = folder / "site"
    for name, source in plugins.items():
        lay_module(f"hostile_{name}", source, site)
    root = SCRIPT.parents[2]
    path = os.pathsep.join([str(root), str(root / "plugins")])
    environment = {**os.environ, "PYTHONPATH": path, "LAB_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment.pop("LAB_DISABLE_THIRD_PARTY", None)
    command = [sys.executable, str(SCRIPT), str(folder / "runs"), str(site)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert results, done.stderr[-4000:]
    return json.loads(results[0]), done.stderr


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The runs without any of them."""
    return answer(tmp_path_factory.mktemp("peaceful"), {})[0]


def test_no_number_changes_with_every_hostile_plugin_installed(peaceful: Any, tmp_path: Path) -> None:
    assert len(HOSTILE) >= 20
    given, told = answer(tmp_path, HOSTILE)
    assert given == peaceful
    for name in REFUSED:
        assert f"plugin hostile_{name} 1.0 could not be loaded and is skipped" in told
    for name in TOLD:
        assert f"plugin hostile_{name} 1.0" in told


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_no_number_changes_with_one_of_them(peaceful: Any, tmp_path: Path, name: str) -> None:
    assert answer(tmp_path, {name: HOSTILE[name]})[0] == peaceful
