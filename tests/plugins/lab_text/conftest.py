"""Shared set-ups of the tests of ``lab_text``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or leaves anything in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LAB_CACHE", str(folder))
    return folder


@pytest.fixture
def real_data() -> Path:
    """The directory of real corpora."""
    if not os.environ.get("LAB_DATA"):
        pytest.skip("LAB_DATA is not set: no real corpora here")
    return Path(os.environ["LAB_DATA"])


@pytest.fixture
def empty_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of one's own, still empty."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("LAB_DATA", str(folder))
    return folder


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Write a text file: ``write_lines("a.fr", "un", "deux")``."""

    def write(name: str, *lines: str) -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write
