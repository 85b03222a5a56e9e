"""What is remembered from process to process."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lab.cache import file_digest


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, and a cache of its own."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "large"
    path.write_bytes(b"large")
    return path


def test_a_digest_is_the_sha256_of_the_file(large: Path) -> None:
    assert file_digest(large) == hashlib.sha256(b"large").hexdigest()


def test_a_file_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = file_digest(large)
    monkeypatch.delattr(hashlib, "file_digest")
    assert file_digest(large) == first


def test_a_file_that_was_changed_is_read_again(large: Path) -> None:
    first, before = file_digest(large), large.stat()
    large.write_bytes(b"Large")
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000))
    assert file_digest(large) != first


def test_a_cache_that_cannot_be_written_costs_time_only(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(large / "below"))
    assert file_digest(large) == hashlib.sha256(b"large").hexdigest()
