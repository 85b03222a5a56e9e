"""What all tests share: nothing is read from or left in the caches of whoever runs them."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # as many tests at a time as there are cores: threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for tests that may take as long as one likes."""
    parser.addoption(
        "--fuzz-minutes",
        type=float,
        default=0.0,
        help="Minutes that each test in tests/fuzz goes on; 0: a few examples.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no worker is left with it while the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A command that was run in this process leaves handlers that end it at once; no test must meet them."""
    _restore_signals()  # a fixture of the whole session may have run one
    yield
    _restore_signals()


_HANDLERS = {
    getattr(signal, name): signal.getsignal(getattr(signal, name))
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
}


def _restore_signals() -> None:
    for number, handler in _HANDLERS.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as COLUMNS says, which a terminal or a library may have set."""
    monkeypatch.delenv("COLUMNS", raising=False)


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
