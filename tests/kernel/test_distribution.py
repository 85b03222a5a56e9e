"""The wheel: what is in it, and the main job from it, outside of any clone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kernel.test_scaffold_installed import Machine

ROOT = Path(__file__).parents[2]
QUICK = ("--epochs", "1", "--seeds", "1", "--arms", "additive", "--set", "dataset.pairs=64", "--set", "batch_size=16")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, by way of the sdist's files: what is not packed is missed here."""
    pytest.importorskip("hatchling", reason="pip builds the package with hatchling; without it this needs a network")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    [sdist] = folder.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(sdist)], cwd=folder, check=True)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    [found] = folder.glob("*.whl")
    return found


def test_the_wheel_has_the_studies_the_page_and_the_types_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {f"lab_basics/experiments/{path.name}" for path in (ROOT / "experiments").glob("*.py")}
    wanted |= {"lab_report/vega/vega.js", "lab_report/vega/LICENSES.txt", "lab/py.typed"}
    wanted |= {
        path.relative_to(root.parent).as_posix()
        for root in [ROOT / "lab", *(ROOT / "plugins").iterdir()]
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names == set()
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_the_wheel_answers_the_main_question_outside_of_any_clone(wheel: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine("pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "-I", str(wheel))
    place = "import lab, lab_basics, sys; print(lab.__file__, lab_basics.__file__)"
    (tmp_path / "place.py").write_text(place)
    places = machine("place").split()
    assert all(Path(each).is_relative_to(tmp_path) for each in places), places
    assert "lab run bidir_vs_attn.py" in machine("lab", "examples", "bidir_vs_attn")
    machine("lab", "run", "bidir_vs_attn.py", *QUICK)
    [record] = (tmp_path / "runs").glob("*/study.json")
    assert record.parent.name == "bidir_vs_attn"
    assert len(list((tmp_path / "runs").glob(".store/*/result.json"))) == 2
