"""A Ray cluster: joining it, and what it has room for."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from lab.errors import LabError

__all__ = ["connected", "disconnect", "refuse_without_ray", "room", "worker_options"]

OBJECT_STORE_BYTES = 256 * 2**20
"""For a Ray of our own; only pieces of files pass through it."""


def refuse_without_ray() -> None:
    """Say how Ray is installed, where it is not.

    Raises:
        LabError: it is not.
    """
    if find_spec("ray") is None:
        raise LabError("Ray is not installed", where="executor 'ray'", hint="pip install 'lab[ray]'")


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected inside the block.

    A connection that this process has already is used and left as it is. Otherwise ``address``, or else the variable
    RAY_ADDRESS, names a cluster; without both a Ray of this machine alone is started, and ended after the block.

    Raises:
        LabError: nothing answers at that address, or what answers is another version of Ray or Python.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    place = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(place, log_to_driver=False, logging_level=logging.ERROR, **(own if place == "local" else {}))
    except Exception as error:  # Ray raises many kinds, of its own, of gRPC and of Python
        ray.shutdown()
        raise _unreachable(place, error) from error
    try:
        yield ray
    finally:
        disconnect(ray)


def disconnect(ray: Any) -> None:
    """Leave Ray; ends what this process started.

    Ray leaves handles of processes that have ended to the collector, of which Python would warn at some later time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        ray.shutdown()
        gc.collect()


def worker_options(cpus: float, gpus: float, threads: int) -> dict[str, Any]:
    """How Ray starts a worker: what it needs, its threads, and that nobody but us starts it again."""
    threads_of = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    variables = {**threads_of, "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    return {
        "num_cpus": cpus,
        "num_gpus": gpus,
        "max_restarts": 0,
        "max_task_retries": 0,
        "runtime_env": {"env_vars": variables},
    }


def room(ray: Any, cpus: float, gpus: float) -> int:
    """How many workers with these needs the nodes that are alive could hold, if nobody else used them."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(_times(node, "CPU", cpus), _times(node, "GPU", gpus)) for node in nodes)


def _times(resources: dict[str, float], name: str, need: float) -> int:
    return int(resources.get(name, 0.0) / need) if need else 2**31


def _unreachable(place: str, error: Exception) -> LabError:
    if place == "local":
        return LabError("Ray could not be started on this machine", where=_first_line(error))
    return LabError(
        f"cannot join the Ray cluster at '{place}'",
        where=_first_line(error),
        hint="is it there? ray status --address HOST:PORT\ndoes it ask for tokens? export RAY_AUTH_MODE=token",
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
