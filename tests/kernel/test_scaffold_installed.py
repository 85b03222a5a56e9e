"""A plugin from ``lab new`` in a virtual environment of its own: installed by pip, used, and taken away again."""

from __future__ import annotations

import os
import re
import site
import subprocess
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]

ROOT = Path(__file__).parents[2]
STUDY = "experiments/cosine.py"
QUICK = ("--epochs", "1", "--seeds", "1", "--set", "dataset.pairs=64", "--set", "batch_size=16")


class Machine:
    """A virtual environment that sees the packages of this one, so nothing is downloaded."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.folder, self.python = folder, folder / "venv" / "bin" / "python"
        inside = next((folder / "venv" / "lib").glob("python*/site-packages"))
        # what runs here counts, before another copy that may be installed
        here = [str(ROOT), str(ROOT / "plugins")]
        outside = [*here, *(path for path in site.getsitepackages() if Path(path).is_dir())]
        lines = [f"import site; site.addsitedir({path!r})" for path in outside]
        (inside / "outside.pth").write_text("\n".join(lines), encoding="utf-8")

    def __call__(self, *arguments: str, where: Path | None = None, expect: int = 0, **variables: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LAB_CACHE": str(self.folder / "cache"), "COLUMNS": "200"}
        environment.update(variables)
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [str(self.python), "-m", *arguments],
            cwd=where or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    pytest.importorskip("hatchling", reason="pip builds the package with hatchling; without it this needs a network")
    made = Machine(tmp_path_factory.mktemp("machine"))
    made("lab", "new", "plugin", "cosine", "--kind", "attention")
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "./lab-cosine")
    made(*pip, "--disable-pip-version-check")
    return made


@pytest.fixture(scope="module")
def project(machine: Machine) -> Path:
    return machine.folder / "lab-cosine"


@pytest.fixture(scope="module")
def answered(machine: Machine, project: Path) -> str:
    """What ``lab run`` said."""
    return machine("lab", "run", STUDY, *QUICK, where=project)


def test_installed_plugin_is_listed(machine: Machine) -> None:
    assert "(lab_cosine 0.1.0, lab-cosine)" in machine("lab", "list", "attentions")
    assert "lab_cosine 0.1.0 (lab-cosine)  loaded" in machine("lab", "plugins")


def test_the_commands_of_its_workflow_pass(machine: Machine, project: Path) -> None:
    text = (project / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    commands = re.findall(r"run: (lab .*|python -m pytest)$", text, re.MULTILINE)
    assert len(commands) == 3
    said = [machine(*command.removeprefix("python -m ").split(), where=project) for command in commands]
    assert "1 component checked, nothing found" in said[1]
    assert " passed" in said[2]


def test_study_swaps_it_in_and_reports_plugin_and_version(answered: str, project: Path) -> None:
    assert "cosine" in answered
    report = (project / "runs" / "cosine" / "report.html").read_text(encoding="utf-8")
    assert "lab_cosine 0.1.0" in report


def test_uninstalled_it_is_gone_and_its_runs_are_not(machine: Machine, project: Path, answered: str) -> None:
    machine("pip", "uninstall", "--quiet", "--yes", "lab-cosine")
    assert "cosine" not in machine("lab", "list", "attentions")
    assert "cosine" in machine("lab", "runs", where=project)
    (project / "runs" / "cosine" / "report.html").unlink()
    machine("lab", "report", "cosine", where=project)
    assert "lab_cosine 0.1.0" in (project / "runs" / "cosine" / "report.html").read_text(encoding="utf-8")
    assert "unknown attention 'cosine'" in machine("lab", "run", STUDY, *QUICK, where=project, expect=2)
