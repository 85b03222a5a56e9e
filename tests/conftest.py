"""What all tests share: nothing is read from or left in the caches of whoever runs them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[None]:
    """A cache folder for this session; processes that tests start inherit it."""
    if os.environ.get("LAB_CACHE"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="lab-tests-") as folder:
        os.environ["LAB_CACHE"] = folder
        yield
        del os.environ["LAB_CACHE"]
