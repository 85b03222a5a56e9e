"""Fixtures: fresh catalogs without global state, plugins on disk, the command line."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from lab.registry.plugins import Catalog
from lab.registry.registry import DISTRIBUTION
from tests.kernel.kill_study import STUDY, finish, outcome, start
from tests.kernel.toys import COMPONENTS, plugin_module


@attrs.define
class FakeEntryPoint:
    """An entry point whose module is at hand; ``source`` may be an error, which its import raises."""

    name: str
    source: Any
    distribution: str = ""
    package: str = ""
    version: str = "1.0"

    def load(self) -> types.ModuleType:
        if isinstance(self.source, BaseException):
            raise self.source
        return self.source


@attrs.define
class Loaded:
    """A catalog and everything that it complained of."""

    catalog: Catalog
    complaints: list[str]


@pytest.fixture
def catalog() -> Catalog:
    """The toy components, and any complaint is an error."""
    catalog = Catalog(strict=True)
    catalog.add_module(plugin_module(**COMPONENTS), "toys", "1.0")
    return catalog


@pytest.fixture
def load() -> Callable[..., Loaded]:
    """Load plugins as ``lab`` does at its start: ``load(name=module, ...)``; names after ``builtin_`` are built in."""

    def load(*, strict: bool = False, disabled: dict[str, str] | None = None, **sources: Any) -> Loaded:
        complaints: list[str] = []
        catalog = Catalog(warn=complaints.append, strict=strict)
        points = [
            FakeEntryPoint(name, source, DISTRIBUTION if name.startswith("builtin_") else f"{name}-package")
            for name, source in sources.items()
        ]
        catalog.load(points, lambda plugin: (disabled or {}).get(plugin.name, ""))
        return Loaded(catalog, complaints)

    return load


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put plugins where the interpreter and ``lab`` find them, as an installed package would be: name → source."""
    site = tmp_path / "site"

    def install(**plugins: str | Path) -> Path:
        site.mkdir(exist_ok=True)
        for name, source in plugins.items():
            text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
            (site / f"{name}.py").write_text(text, encoding="utf-8")
            info = site / f"{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[console_scripts]\nx = y:z\n\n[lab]\n{name} = {name}\n")
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
        return site

    yield install
    for path in site.glob("*.py") if site.is_dir() else ():
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="session")
def left_in_peace(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How the study ``killed.py`` ends in one process when nothing happens to it; no key says where it lies."""
    folder = tmp_path_factory.mktemp("left_in_peace")
    (folder / "killed.py").write_text(STUDY)
    finish(start(folder / "killed.py", folder / "runs"))
    return outcome(folder / "runs")


@pytest.fixture(autouse=True)
def _no_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have switched something off."""
    for name in ("LAB_DISABLE_PLUGINS", "LAB_DISABLE_THIRD_PARTY", "LAB_RUNS"):
        monkeypatch.delenv(name, raising=False)


@attrs.frozen
class Outcome:
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def lab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Callable[..., Outcome]]:
    """Run ``lab`` in this process, in an empty folder: ``lab("run", "study.py")``."""
    from lab.cli.main import main

    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "LAB_DATA"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)

    def lab(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["lab", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return Outcome(int(caught.value.code or 0), captured.out, captured.err)

    yield lab
    for number, handler in handlers.items():  # a command keeps its own until its process ends
        signal.signal(number, handler)
