"""How long ``lab --help`` and ``lab list`` take, in units of ``python -c pass``.

The figures are printed; with ``--benchmark-enable`` they are measured in twenty rounds and held to their limits.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = """from lab import hookimpl


@hookimpl
def lab_losses():
    return {{"loss_{number}": "package_{number}.losses:loss"}}
"""


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def medians(commands: dict[str, tuple[str, ...]], rounds: int) -> dict[str, float]:
    """Median seconds of each command; they take turns, so that a busy moment strikes all alike."""
    found = [{name: seconds(*command) for name, command in commands.items()} for _ in range(rounds)]
    return {name: statistics.median(row[name] for row in found) for name in commands}


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """Twenty where benchmarks are asked for, otherwise just enough to see that they work."""
    return 20 if request.config.getoption("benchmark_enable") else 2


@pytest.fixture
def judge(rounds: int, capsys: pytest.CaptureFixture[str]) -> Callable[[str, float, float], None]:
    """Print a ratio, and hold it to its limit where it was measured well enough for that."""

    def judge(what: str, ratio: float, limit: float) -> None:
        with capsys.disabled():
            print(f"\n{what}: {ratio:.2f} ×, at most {limit}", end="")
        assert ratio <= limit or rounds < 20

    return judge


def test_help_and_list_take_at_most_ten_times_an_empty_program(rounds, judge):
    commands = {"pass": ("-c", "pass"), "help": ("-m", "lab", "--help"), "list": ("-m", "lab", "list")}
    found = medians(commands, rounds)
    for name in ("help", "list"):
        judge(f"lab {name}, {1000 * found[name]:.0f} ms", found[name] / found["pass"], 10.0)


def test_thirty_third_party_plugins_slow_the_help_by_less_than_a_third(tmp_path, monkeypatch, rounds, judge):
    none = medians({"help": ("-m", "lab", "--help")}, rounds)["help"]
    for number in range(30):
        install(tmp_path, number)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seconds("-m", "lab", "--help")
    thirty = medians({"help": ("-m", "lab", "--help")}, rounds)["help"]
    judge("lab --help with 30 plugins", thirty / none, 1.3)


def install(site: Path, number: int) -> None:
    """A package with a plugin, as pip lays it out."""
    name = f"package_{number}"
    (site / name).mkdir()
    (site / name / "__init__.py").touch()
    (site / name / "plugin.py").write_text(PLUGIN.format(number=number))
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lab]\n{name} = {name}.plugin\n")
