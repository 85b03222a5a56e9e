"""What Ray costs for each trivial run, beside the same runs in this process."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Experiment, Study, use
from lab.registry.plugins import load_catalog
from lab.study.execute import InProcess, SilentListener
from lab.study.preflight import plan_study
from lab.study.store import Store
from lab.study.workspace import Workspace

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lab-ablation[ray]'")

CORES = 2


@pytest.fixture
def local_ray() -> Iterator[None]:
    from lab_ray.cluster import disconnect

    with tempfile.TemporaryDirectory(prefix="lr-") as place:
        ray.init(
            "local",
            num_cpus=CORES,
            include_dashboard=False,
            object_store_memory=80 * 2**20,
            _temp_dir=place,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        disconnect(ray)


def milliseconds_a_run(executor: Any, folder: Path, count: int) -> float:
    """Of trivial runs, an epoch of four steps each, once the first few have imported what is imported late."""
    base = Experiment(
        dataset=use("points", count=32, input_size=5), architecture="mlp", loss="cross_entropy", batch_size=8, epochs=1
    )
    store = Store(folder)
    store.prepare()
    plan = plan_study(Study(base, seeds=count + CORES, name="trivial"), Workspace(load_catalog(only=[]), store))
    given = executor.submit(plan.to_do, SilentListener(), threading.Event(), fresh=False)
    for _ in range(CORES):
        next(given)
    began = time.perf_counter()
    records = [record for _, record in given]
    assert {record.status for record in records} == {"finished"}
    return 1000 * (time.perf_counter() - began) / len(records)


def test_a_trivial_run_on_ray_beside_one_in_process(local_ray: None, tmp_path: Path, figure: Any, short: bool) -> None:
    from lab_ray.executor import RayCluster

    count = 20 if short else 100
    here = milliseconds_a_run(InProcess(), tmp_path / "here", count)
    one = milliseconds_a_run(RayCluster(workers=1), tmp_path / "one", count)
    figure.value("a trivial run in process, training included", here, "ms")
    figure.value("a trivial run on one Ray worker, training included", one, "ms")
    figure.value("overhead of Ray for a trivial run", one - here, "ms")
