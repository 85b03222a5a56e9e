"""Runs as jobs. Submitit's local jobs stand for SLURM's: the same submission, signals and queueing again."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from pathlib import Path
from typing import Any

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

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'lab-ablation[slurm]'")

ONE_RUN = STUDY.replace("import time\n", "import os\nimport signal\nimport time\nfrom pathlib import Path\n")
ONE_RUN = ONE_RUN.replace("epochs=4", "epochs=3").replace(
    'study = Study(base, seeds=2).swap("architecture.width", {"wide": 64})', "study = Study(base, seeds=1)"
)

DEADLY = '''
class Deadly(Callback):
    """Ends its process, as often as ``times`` says."""

    def __init__(self, *, place: str = "", times: int = 1) -> None:
        self.place, self.times = Path(place), times

    def after_batch(self, learner):
        marks = len(list(self.place.glob("killed-*")))
        if marks < self.times and learner.position.step > 30:
            (self.place / f"killed-{marks}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
'''


class Heard:
    """A listener that keeps what it hears, and can act on it."""

    def __init__(self, act: Any = lambda run: None) -> None:
        self.events: list[tuple[str, int]] = []
        self.act = act

    def run_started(self, run: Run) -> None:
        self.events.append(("started", 0))

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        self.events.append(("advanced", progress.step))
        self.act(run)

    def run_finished(self, run: Run, record: RunRecord) -> None:
        self.events.append(("finished", 0))


def planned(folder: Path, runs: Path, text: str = ONE_RUN) -> Plan:
    (folder / "killed.py").write_text(text)
    catalog, store = load_catalog(only=[]), Store(runs)
    store.prepare()
    return plan_study(load_study(folder / "killed.py", catalog), Workspace(catalog, store))


def execute(plan: Plan, listener: Any = None, stop: threading.Event | None = None, **params: Any) -> list[RunRecord]:
    executor = build_executor(use("slurm", cluster="local", **params), plan.runs[0].catalog)
    given = executor.submit(plan.to_do, listener or SilentListener(), stop or threading.Event(), fresh=False)
    return [record for _, record in given]


def alone(plan: Plan) -> None:
    """The same in this process."""
    assert [
        record.status for _, record in InProcess().submit(plan.to_do, SilentListener(), threading.Event(), fresh=False)
    ]


def deadly(place: Path, times: int) -> str:
    text = ONE_RUN.replace("base = Experiment(", f"{DEADLY}\n\nbase = Experiment(")
    return text.replace('"one_cycle", Slow]', f'"one_cycle", Slow, use(Deadly, place="{place}", times={times})]')


def jobs(runs: Path) -> list[Path]:
    return list(runs.glob(".store/.slurm-*"))


def test_a_job_that_is_killed_is_submitted_again_and_gives_the_numbers_of_one_process(tmp_path: Path) -> None:
    text, heard = deadly(tmp_path, times=1), Heard()
    execute(planned(tmp_path, tmp_path / "runs", text), heard)
    assert (tmp_path / "killed-0").exists()
    assert [event for event, _ in heard.events].count("started") == 2
    again = [event for event, _ in heard.events].index("started", 1)
    assert min(step for event, step in heard.events[again:] if event == "advanced") > 7
    assert jobs(tmp_path / "runs") == []
    alone(planned(tmp_path, tmp_path / "alone", text))
    assert outcome(tmp_path / "runs") == outcome(tmp_path / "alone")


def test_a_run_whose_job_is_killed_twice_has_failed(tmp_path: Path) -> None:
    (record,) = execute(planned(tmp_path, tmp_path / "runs", deadly(tmp_path, times=9)))
    what, log, hint = record.result["error"].splitlines()
    assert what.startswith("the job ")
    assert what.endswith(", at the second attempt too")
    assert Path(log.removeprefix("  its output: ")).exists()
    assert hint == "  if memory ran out, request more: memory_gb"


def test_a_job_that_must_make_room_saves_its_run_and_goes_on_when_its_turn_comes(tmp_path: Path) -> None:
    sent: list[int] = []

    def make_room(run: Run) -> None:
        if not sent:
            (news,) = run.store.folder.glob(".slurm-*/*/news.jsonl")
            sent.append(json.loads(news.read_text().splitlines()[0])["pid"])
            os.kill(sent[0], signal.SIGUSR2)  # as SLURM does

    heard = Heard(make_room)
    records = execute(planned(tmp_path, tmp_path / "runs"), heard)
    assert [record.status for record in records] == ["finished"]
    assert [event for event, _ in heard.events].count("started") == 2
    alone(planned(tmp_path, tmp_path / "alone"))
    assert outcome(tmp_path / "runs") == outcome(tmp_path / "alone")


def test_a_study_that_is_told_to_stop_saves_its_runs_and_cancels_what_waits(tmp_path: Path) -> None:
    stop = threading.Event()
    plan = planned(tmp_path, tmp_path / "runs", ONE_RUN.replace("seeds=1", "seeds=2"))
    with pytest.raises(KeyboardInterrupt):
        execute(plan, Heard(lambda run: stop.set()), stop, workers=1)
    assert len(list((tmp_path / "runs").glob(".store/*/checkpoint-*"))) == 1
    assert jobs(tmp_path / "runs") == []


def test_a_job_that_finds_other_code_refuses_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delitem(sys.modules, "slurm_penalties", raising=False)
    (tmp_path / "slurm_penalties.py").write_text("def penalty(output, target):\n    return (output**2).mean()\n")
    text = ONE_RUN.replace("import os\n", "import os\nfrom slurm_penalties import penalty\n")
    plan = planned(tmp_path, tmp_path / "runs", text.replace('"cross_entropy"', "penalty"))
    (tmp_path / "slurm_penalties.py").write_text("def penalty(output, target):\n    return output.mean()\n")
    with pytest.raises(LabError) as caught:
        execute(plan)
    what, *why = str(caught.value).splitlines()
    assert what.endswith(f"cannot train run {plan.runs[0].key} (base, seed 0)")
    assert why == [
        "  this machine would compute a different run key",
        "    code of slurm_penalties: another here",
        "    if a file was changed since the study began, give the same command again",
        "  every node needs the same lab, plugins, torch and data as this machine",
    ]


def test_what_a_job_needs_stands_in_its_batch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake(tmp_path / "bin", "sbatch", f'cp "${{@: -1}}" "{tmp_path}/batch.sh"; echo Submitted batch job 7')
    _fake(tmp_path / "bin", "srun", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    reference = use(
        "slurm", threads=3, gpus=1, timeout_min=30, memory_gb=8.0, partition="fast", options={"account": "physics"}
    )
    slurm = build_executor(reference, load_catalog(only=[]))
    job = slurm.queue(tmp_path / "jobs", False).submit(print)
    wanted = {
        "#SBATCH --cpus-per-task=3",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --time=30",
        "#SBATCH --mem=8GB",
        "#SBATCH --partition=fast",
        "#SBATCH --account=physics",
        "#SBATCH --signal=USR2@90",
    }
    assert job.job_id == "7"
    assert wanted - set((tmp_path / "batch.sh").read_text().splitlines()) == set()


def _fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(stat.S_IRWXU)


def test_a_machine_without_slurm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError) as caught:
        build_executor(use("slurm"), load_catalog(only=[]))
    assert str(caught.value) == (
        "SLURM is not available: there is no command sbatch\n  executor 'slurm'\n"
        "  run the command on a login node of the cluster"
    )


def test_without_submitit_the_executor_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab_slurm.executor.find_spec", lambda name: None)
    with pytest.raises(LabError) as caught:
        build_executor(use("slurm"), load_catalog(only=[]))
    assert str(caught.value) == "submitit is not installed\n  executor 'slurm'\n  pip install 'lab-ablation[slurm]'"
