"""All checks of a component run in one process, which tries it and reads its data once.

The executor ``ray`` is tried on one Ray for all its checks, since starting one takes seconds.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_on_ray(item):
            item.add_marker(pytest.mark.xdist_group("ray"))
        elif ": " in item.name:
            item.add_marker(pytest.mark.xdist_group(item.name.partition("[")[2].partition(":")[0]))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of this machine alone; nothing where it is not installed."""
    try:
        import ray
    except ImportError:
        yield
        return
    from lab_ray.cluster import disconnect

    with tempfile.TemporaryDirectory(prefix="lr-") as place:
        own = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "_temp_dir": place}
        ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **own)
        yield
        disconnect(ray)


@pytest.fixture(autouse=True)
def with_ray(request: pytest.FixtureRequest) -> None:
    if _is_on_ray(request.node):
        request.getfixturevalue("local_ray")


def _is_on_ray(item: pytest.Item) -> bool:
    return "[executors.ray:" in item.name
