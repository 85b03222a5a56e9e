"""Systems that this one is not: without the modules, calls and signals that only Unix has. Simulated, not run there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab import files
from lab.study import environment, interrupt
from lab.training import cpu

STUDY = '''
"""Does it run without Unix?"""
from lab import Experiment, Study, command, use

base = Experiment(dataset=use("points"), architecture="mlp", loss="cross_entropy", metrics=["accuracy"], epochs=1)
study = Study(base, seeds=2).swap("lr", [0.01])
'''

WITHOUT_UNIX = """
import importlib.abc, os, signal, sys

# not fcntl: filelock takes another module on Windows, and here it would lock less
UNIX = {"grp", "posix_ipc", "pwd", "resource", "syslog", "termios", "tty", "pty", "readline"}

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in UNIX:
            raise ImportError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
for name in UNIX:
    sys.modules.pop(name, None)
for name in ("killpg", "setsid", "sched_getaffinity", "geteuid", "getuid", "fork", "getpgid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
"""


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["in process", "two workers"])
def test_a_study_runs_without_modules_and_calls_of_unix(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_UNIX)
    (tmp_path / "question.py").write_text(STUDY)
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", "question.py", *options],
        cwd=tmp_path,
        # torch asks for the user's name, which Windows gives in a variable
        env={
            **os.environ,
            "USERNAME": "student",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "lr=0.01" in done.stdout
    assert (tmp_path / "runs" / "question" / "report.html").is_file()


def test_a_folder_that_the_system_does_not_open_is_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = [], os.open

    def like_windows(path: str | Path, flags: int, *rest: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", str(path))
        opened.append(flags & os.O_RDWR)
        return real(path, flags, *rest)

    monkeypatch.setattr(files, "IS_WINDOWS", True)
    monkeypatch.setattr(files.os, "open", like_windows)
    files.write_json(tmp_path / "one.json", {"a": 1})
    with files.atomic_folder(tmp_path / "several") as folder:
        (folder / "b").write_text("b")
    assert (tmp_path / "several" / "b").read_text() == "b"
    # a descriptor that may only read is not flushed there
    assert opened == [os.O_RDWR, os.O_RDWR]


def test_peak_memory_is_known_without_proc_and_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def memory_info(self) -> object:
            return type("Info", (), {"peak_wset": 300 * 2**20})()

    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(psutil, "Process", Process)
    assert environment._peak_of_system() == 300 * 2**20


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="the real call is compared with its replacement")
def test_children_of_a_command_end_with_it_where_there_are_no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code} print(p.pid, flush=True); p.wait()"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    monkeypatch.delattr(os, "killpg")
    interrupt.kill_group(process)
    process.wait(10)
    process.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_the_allocator_is_left_alone_where_there_is_no_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_a_name(name: str | None) -> object:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")

    monkeypatch.setattr(cpu, "IS_WINDOWS", True)
    monkeypatch.setattr(cpu.ctypes, "CDLL", without_a_name)
    assert cpu._set_allocator(()) is False
