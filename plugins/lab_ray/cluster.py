"""Connection to a Ray cluster, and its free resources."""

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
"""Size for a Ray that we start; only chunks of files pass through the object store."""


def refuse_without_ray() -> None:
    """Raise if Ray is not installed.

    Raises:
        LabError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise LabError("Ray is not installed", where="executor 'ray'", hint="pip install 'lab-ablation[ray]'")


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect to Ray inside the block.

    An existing connection of this process is used and left open. Otherwise ``address`` or the variable RAY_ADDRESS
    names the cluster; without both, Ray is started on this machine and stopped after the block.

    Raises:
        LabError: there is no cluster at that address, or it has another version of Ray or Python.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(own if address == "local" else {}))
    except Exception as error:
        # Ray raises many kinds, of its own, of gRPC and of Python.
        ray.shutdown()
        raise _unreachable(address, error) from error
    try:
        yield ray
    finally:
        disconnect(ray)


def disconnect(ray: Any) -> None:
    """Disconnect from Ray, and stop what this process started."""
    # Ray leaves handles of ended processes to the garbage collector, and Python would warn of them at some later time.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        ray.shutdown()
        gc.collect()


def worker_options(cpus: float, gpus: float, threads: int) -> dict[str, Any]:
    """Return Ray's options of a worker: resources, threads, and no restarts."""
    # OpenMP threads spin while they wait by default, which slows down the other workers of a node.
    threads_of = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    variables = {**threads_of, "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    return {
        "num_cpus": cpus,
        "num_gpus": gpus,
        # The scheduler restarts runs itself, from their checkpoints.
        "max_restarts": 0,
        "max_task_retries": 0,
        "runtime_env": {"env_vars": variables},
    }


def room(ray: Any, cpus: float, gpus: float) -> int:
    """Return the number of workers with these resources that the live nodes could hold if they were idle."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(_times(node, "CPU", cpus), _times(node, "GPU", gpus)) for node in nodes)


def _times(resources: dict[str, float], name: str, need: float) -> int:
    # Per node, since a worker cannot be spread over two.
    return int(resources.get(name, 0.0) / need) if need else 2**31


def _unreachable(address: str, error: Exception) -> LabError:
    if address == "local":
        return LabError("Ray could not be started on this machine", where=_first_line(error))
    return LabError(
        f"cannot connect to the Ray cluster at '{address}'",
        where=_first_line(error),
        hint="check it: ray status --address HOST:PORT\nif it requires tokens: export RAY_AUTH_MODE=token",
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
