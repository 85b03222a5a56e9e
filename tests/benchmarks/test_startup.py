"""How long `lab --help` and `lab list` take beside an empty program, and how long it is until `lab run` trains."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
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
def rounds(short: bool) -> int:
    return 3 if short else 12


def test_help_and_list_take_at_most_ten_times_an_empty_program(rounds, figure):
    commands = {"pass": ("-c", "pass"), "--help": ("-m", "lab", "--help"), "list": ("-m", "lab", "list")}
    found = medians(commands, rounds)
    for name in ("--help", "list"):
        ours, empty = 1000 * found[name], 1000 * found["pass"]
        figure.ratio(f"lab {name}", lab=ours, peer=empty, unit="ms", beside="python -c pass", at_most=10)


def test_comparing_a_table_takes_at_most_a_second_beside_pandas(tmp_path, rounds, figure):
    rows = [f"{arm},{seed},{seed + bonus}" for arm, bonus in (("base", 0.0), ("wide", 0.5)) for seed in range(5)]
    table = tmp_path / "results.csv"
    table.write_text("\n".join(["arm,seed,score", *rows]))
    compare = ("-m", "lab", "compare", str(table), "--metric", "score", "--higher-is-better")
    found = medians({"pandas": ("-c", "import pandas"), "compare": compare}, rounds)
    figure.value("lab compare of a table besides importing pandas", found["compare"] - found["pandas"], "s", at_most=1)


def test_thirty_third_party_plugins_slow_the_help_by_less_than_a_third(tmp_path, monkeypatch, rounds, figure):
    none = medians({"help": ("-m", "lab", "--help")}, rounds)["help"]
    for number in range(30):
        install(tmp_path, number)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seconds("-m", "lab", "--help")
    thirty = medians({"help": ("-m", "lab", "--help")}, rounds)["help"]
    what, beside = "lab --help with 30 third-party plugins", "with none"
    figure.ratio(what, lab=1000 * thirty, peer=1000 * none, unit="ms", beside=beside, at_most=1.3)


FIRST_STEP = """

import os
import time
import attrs
from lab import Callback


class FirstStep(Callback):
    def before_step(self, learner):
        os.write(1, f"\\nFIRST {time.time()}\\n".encode())
        os._exit(0)


study = attrs.evolve(study, base=attrs.evolve(study.base, callbacks=[FirstStep]))
"""

READS_DATA = """
import torch
from lab_text.parallel import fr_en_questions
fr_en_questions(corpus="embedded")
"""
MAKES_OPTIMIZER = """
torch.optim.Adam([torch.zeros(1, requires_grad=True)])
"""


def test_a_study_reaches_its_first_step_soon_after_torch_and_the_data(tmp_path, short, figure):
    """Both sides in fresh processes, with the data in the cache."""
    root = Path(__file__).parents[2]
    text = (root / "experiments" / "bidir_vs_attn.py").read_text(encoding="utf-8")
    study = tmp_path / "watched.py"
    study.write_text(text + FIRST_STEP, encoding="utf-8")
    by_hand, with_optimizer = tmp_path / "by_hand.py", tmp_path / "with_optimizer.py"
    by_hand.write_text(READS_DATA, encoding="utf-8")
    with_optimizer.write_text(READS_DATA + MAKES_OPTIMIZER, encoding="utf-8")

    def until_first_step() -> float:
        began = time.time()
        folder = tmp_path / f"runs{began}"
        command = [sys.executable, "-m", "lab", "run", str(study), "--runs", str(folder), "--workers", "1", "--quiet"]
        output = subprocess.run([*command, "--arms", "base"], capture_output=True, text=True, check=False).stdout
        return float(next(line for line in output.splitlines() if line.startswith("FIRST ")).split()[1]) - began

    until_first_step()
    rounds = [
        (seconds(str(by_hand)), seconds(str(with_optimizer)), until_first_step()) for _ in range(1 if short else 3)
    ]
    data, optimizer, ours = (statistics.median(times) for times in zip(*rounds, strict=True))
    beside = "importing torch and reading the data"
    figure.ratio("until the first training step", lab=ours, peer=data, unit="s", beside=beside, at_most=1.3)
    beside += ", and making an optimizer of torch's"
    figure.ratio("until the first step of a study", lab=ours, peer=optimizer, unit="s", beside=beside, at_most=1.0)


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
