"""Runs on a real Ray of two nodes: the same numbers as in one process, whatever happens to a worker or a node."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from lab import LabError, use
from lab.registry.plugins import load_catalog
from lab.study.execute import InProcess, SilentListener, build_executor
from lab.study.load import load_study
from lab.study.preflight import Plan, plan_study
from lab.study.run import Run, RunProgress
from lab.study.store import RunRecord, Store
from lab.study.workspace import Workspace
from tests.kernel.kill_study import STUDY, outcome

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lab-ablation[ray]'")
pytestmark = pytest.mark.xdist_group("ray")

SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
HELPER = "PAUSE_S = 0.003\n"
LOCAL = STUDY.replace(
    "import time\n", "import os\nimport signal\nimport time\nfrom pathlib import Path\nimport pauses\n"
)
LOCAL = (
    LOCAL.replace("time.sleep(0.004)", "time.sleep(pauses.PAUSE_S)")
    .replace("epochs=4", "epochs=3")
    .replace("seeds=2", "seeds=1")
)
WITH_ARTEFACT = LOCAL.replace("time.sleep(", 'learner.artefact("steps.txt").write_text("many")\n        time.sleep(')

DEADLY = '''
class Deadly(Callback):
    """Ends its process once the driver has a checkpoint, as often as ``times`` says."""

    def __init__(self, *, place: str = "", times: int = 1) -> None:
        self.place, self.times = Path(place), times

    def after_batch(self, learner):
        marks = len(list(self.place.glob("killed-*")))
        if marks < self.times and learner.position.step > 30 and self._can_go_on():
            (self.place / f"killed-{marks}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def _can_go_on(self):
        return bool(list(self.place.glob("runs/.store/*/checkpoint-*")))
'''


@attrs.define
class Cluster:
    """What the tests of this file share."""

    nodes: Any
    packages: Path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of Ray, and a folder of packages that every process of theirs sees."""
    from lab_ray.cluster import disconnect
    from ray.cluster_utils import Cluster as Nodes

    disconnect(ray)  # the conformance kit may have left one in this process
    temporary = tempfile.TemporaryDirectory(prefix="lr-", ignore_cleanup_errors=True)
    with temporary as place, pytest.MonkeyPatch.context() as patch:
        packages = Path(place) / "packages"
        packages.mkdir()
        patch.syspath_prepend(packages)
        patch.setenv("PYTHONPATH", str(packages), prepend=os.pathsep)
        patch.setenv("LAB_DISABLE_THIRD_PARTY", "1")
        patch.setenv("RAY_TMPDIR", place)  # for the cluster's files, and its address, for which there is no parameter
        nodes = Nodes(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
        nodes.add_node(**SMALL)
        ray.init(nodes.address, log_to_driver=False, logging_level=logging.ERROR)
        yield Cluster(nodes, packages)
        disconnect(ray)
        nodes.shutdown()
        disconnect(ray)  # once more, for the handles of the nodes' processes


class Heard:
    """A listener that keeps what it hears, and can act on it."""

    def __init__(self, act: Any = lambda run, progress: None) -> None:
        self.events: list[tuple[str, str, int]] = []
        self.act = act

    def run_started(self, run: Run) -> None:
        self.events.append(("started", run.key, 0))

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        self.events.append(("advanced", run.key, progress.step))
        self.act(run, progress)

    def run_finished(self, run: Run, record: RunRecord) -> None:
        self.events.append(("finished", run.key, 0))


def planned(folder: Path, runs: Path, text: str) -> Plan:
    """The plan of a study whose file lies in ``folder``, with a module beside it."""
    sys.modules.pop("pauses", None)
    (folder / "pauses.py").write_text(HELPER)
    (folder / "killed.py").write_text(text)
    catalog, store = load_catalog(only=[]), Store(runs)
    store.prepare()
    return plan_study(load_study(folder / "killed.py", catalog), Workspace(catalog, store))


def execute(plan: Plan, *, listener: Any = None, stop: threading.Event | None = None, **params: Any) -> list[RunRecord]:
    """Every record that the executor gives."""
    executor = build_executor(use("ray", **params), plan.runs[0].catalog)
    given = executor.submit(plan.to_do, listener or SilentListener(), stop or threading.Event(), fresh=False)
    return [record for _, record in given]


def alone(plan: Plan) -> None:
    """The same in this process."""
    assert [
        record.status for _, record in InProcess().submit(plan.to_do, SilentListener(), threading.Event(), fresh=False)
    ]


def test_two_nodes_give_the_numbers_files_and_artefacts_of_one_process(cluster: Cluster, tmp_path: Path) -> None:
    plan = planned(tmp_path, tmp_path / "runs", WITH_ARTEFACT)
    records = execute(plan)
    assert [record.status for record in records] == ["finished"] * 2
    assert {(record.folder / "artefacts" / "steps.txt").read_text() for record in records} == {"many"}
    alone(planned(tmp_path, tmp_path / "alone", WITH_ARTEFACT))
    assert outcome(tmp_path / "runs") == outcome(tmp_path / "alone")


def test_a_worker_that_is_killed_is_replaced_and_its_run_goes_on_from_its_checkpoint(
    cluster: Cluster, tmp_path: Path
) -> None:
    text = _deadly(tmp_path, times=1)
    heard = Heard()
    execute(planned(tmp_path, tmp_path / "runs", text), listener=heard, workers=1, checkpoint_every_s=0.0)
    assert (tmp_path / "killed-0").exists()
    starts = [index for index, (event, _, _) in enumerate(heard.events) if event == "started"]
    assert len(starts) == 2
    assert min(step for event, _, step in heard.events[starts[1] :] if event == "advanced") > 7
    alone(planned(tmp_path, tmp_path / "alone", text))
    assert outcome(tmp_path / "runs") == outcome(tmp_path / "alone")


def test_a_run_that_kills_its_worker_twice_has_failed(cluster: Cluster, tmp_path: Path) -> None:
    plan = planned(tmp_path, tmp_path / "runs", _deadly(tmp_path, times=9))
    (record,) = execute(plan, workers=1, checkpoint_every_s=0.0)
    what, why, *hint = record.result["error"].splitlines()
    assert what.startswith("the Ray worker died at the second attempt too (worker ")
    assert "worker process has died" in why
    assert hint == ["  if memory ran out, use fewer workers per node: more cpus for each"]


def _deadly(place: Path, times: int) -> str:
    text = LOCAL.replace("base = Experiment(", f"{DEADLY}\n\nbase = Experiment(")
    deadly = f'use(Deadly, place="{place}", times={times})'
    return _one_run(text.replace('"one_cycle", Slow]', f'"one_cycle", Slow, {deadly}]'))


def _one_run(text: str) -> str:
    return text.replace('.swap("architecture.width", {"wide": 64})', "")


def test_a_run_of_a_node_that_dies_goes_on_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    (node,) = cluster.nodes.worker_nodes
    text = LOCAL.replace("time.sleep(pauses.PAUSE_S)", "time.sleep(10 * pauses.PAUSE_S)")  # both train when it dies
    stepped: set[str] = set()

    def end_node(run: Run, progress: RunProgress) -> None:
        stepped.add(run.key)
        if len(stepped) == 2 and node in cluster.nodes.worker_nodes:
            cluster.nodes.remove_node(node, allow_graceful=False)

    heard = Heard(end_node)
    records = execute(planned(tmp_path, tmp_path / "runs", text), listener=heard, checkpoint_every_s=0.0)
    cluster.nodes.add_node(**SMALL)
    assert [event for event, _, _ in heard.events].count("started") == 3
    assert [record.status for record in records] == ["finished"] * 2
    alone(planned(tmp_path, tmp_path / "alone", text))
    assert outcome(tmp_path / "runs") == outcome(tmp_path / "alone")


def test_a_study_that_is_told_to_stop_saves_its_runs_in_the_store(cluster: Cluster, tmp_path: Path) -> None:
    stop = threading.Event()
    plan = planned(tmp_path, tmp_path / "runs", _one_run(LOCAL))
    with pytest.raises(KeyboardInterrupt):
        execute(plan, stop=stop, listener=Heard(lambda run, progress: stop.set()), checkpoint_every_s=999.0)
    assert list((tmp_path / "runs").glob(".store/*/checkpoint-*/state.json"))
    alone(plan)
    alone(planned(tmp_path, tmp_path / "alone", _one_run(LOCAL)))
    assert outcome(tmp_path / "runs") == outcome(tmp_path / "alone")


def test_a_node_with_other_code_refuses_and_names_what_differs(cluster: Cluster, tmp_path: Path) -> None:
    parts = cluster.packages / "penalties.py"
    parts.write_text("def penalty(output, target):\n    return ((output - 1) ** 2).mean()\n")
    text = LOCAL.replace("import pauses", "import pauses\nfrom penalties import penalty")
    plan = planned(tmp_path, tmp_path / "runs", text.replace('"cross_entropy"', "penalty"))
    parts.write_text("def penalty(output, target):\n    return (output**2).mean()\n")
    with pytest.raises(LabError) as caught:
        execute(plan, workers=1)
    what, *why = str(caught.value).splitlines()
    assert what.startswith("worker ")
    assert what.endswith(f"cannot train run {plan.runs[0].key} (base, seed 0)")
    assert why == [
        "  this machine would compute a different run key",
        "    code of penalties: another here",
        "    if a file was changed since the study began, give the same command again",
        "  every node needs the same lab, plugins, torch and data as this machine",
    ]


def test_workers_that_no_node_has_room_for_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(LabError) as caught:
        execute(planned(tmp_path, tmp_path / "runs", LOCAL), gpus=2)
    assert str(caught.value) == (
        "no node of the Ray cluster has 1 CPU and 2 GPU for a worker\n  executor 'ray'\n"
        "  request less (threads, cpus, gpus), or add a node: ray start --address HOST:PORT"
    )
