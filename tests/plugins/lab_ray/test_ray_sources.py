"""What travels with a study, and how a node tells in what it differs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from lab_ray import cluster, sources
from lab_ray.executor import RayCluster
from lab_ray.sources import sources_of, write_sources

from lab import LabError, use
from lab.errors import StoreError
from lab.registry.plugins import load_catalog
from lab.study.execute import build_executor


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "beside_it.py").write_text("WIDTH = 3\n")
    (tmp_path / "never_imported.py").write_text("raise OSError\n")
    (tmp_path / "study.py").write_text("import beside_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "beside_it", raising=False)
    assert importlib.import_module("beside_it").WIDTH == 3
    return tmp_path / "study.py"


def test_a_study_travels_with_the_modules_that_it_imported_from_beside_it(study: Path) -> None:
    assert sources_of(str(study)) == {"beside_it.py": "WIDTH = 3\n", "study.py": "import beside_it\n"}


def test_a_study_without_a_file_has_nothing_to_send() -> None:
    assert sources_of("") == {}


def test_sources_that_are_too_large_are_refused(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 1)
    with pytest.raises(StoreError, match="the modules next to a study have more than 0 MiB, too much to send"):
        sources_of(str(study))


def test_sources_are_written_inside_their_folder_only(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"a file cannot be received under the name '\.\./evil\.py'"):
        write_sources({"../evil.py": ""}, tmp_path / "study")


def test_without_ray_the_executor_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(LabError) as caught:
        build_executor(use("ray"), load_catalog(only=[]))
    assert str(caught.value) == "Ray is not installed\n  executor 'ray'\n  pip install 'lab-ablation[ray]'"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, not 0\n  executor 'ray'"),
        ({"cpus": 0.0}, "cpus must be more than 0, not 0.0\n  executor 'ray'"),
    ],
)
def test_impossible_parameters_are_refused(params: dict[str, float], message: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lab-ablation[ray]'")
    with pytest.raises(LabError) as caught:
        RayCluster(**params)
    assert str(caught.value) == message


def test_a_worker_asks_for_a_cpu_per_thread_unless_told_otherwise() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lab-ablation[ray]'")
    executors = [RayCluster(), RayCluster(threads=3), RayCluster(cpus=2.5), RayCluster(cpus=0.5, threads=4)]
    assert [(executor.cpus, executor.threads) for executor in executors] == [(1, 1), (3, 3), (2.5, 2), (0.5, 4)]
