"""Table of what lessons print and what their experiments give here, from stored runs.

    python docs/lessons.py runs [FOLDER ...]       read runs.csv of the studies, and write docs/lessons.md

`docs/lessons.json` holds the rows with what was measured last; a study that none of the folders holds keeps its value.
A row may have `set`, the settings of `--set` that its study was run with, `unit`, what a run stands for if it is not a
seed, and `transform`.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

__all__ = ["measure", "ordered", "page"]

DOCS = Path(__file__).resolve().parent
ROWS = DOCS / "lessons.json"

HEAD = """# Lessons and what they print

Experiments that follow a lesson of a course or a section of a book have its settings, and say in their docstring where
they differ. This page has what the lesson prints beside what the experiment gives: the mean over seeds with the
standard deviation. `python docs/lessons.py runs` writes it, from the studies in the folder `runs`; only what was
measured so is here. Rows follow the chapters and lessons. Book: *Dive into Deep Learning*, sections of the second
Chinese edition. Course: fast.ai, with its year; lessons 8 to 14 are those of its second part.

| lesson | metric | printed | ours | command | why it differs |
| --- | --- | --- | --- | --- | --- |
"""


def measure(row: dict[str, Any], folders: list[Path]) -> None:
    """Set ``ours`` and ``seeds`` of a row from the finished runs of its arm, if a folder has them."""
    for folder in folders:
        for path in _tables(folder / row["study"], row.get("set", [])):
            with path.open(newline="", encoding="utf-8") as file:
                runs = [run for run in csv.DictReader(file) if run["arm"] == row["arm"] and run["status"] == "finished"]
            values = [_transformed(float(run[row["metric"]]), row.get("transform", "")) for run in runs]
            if values:
                row["ours"] = [statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None]
                row["seeds"] = len(values)
                return


def _tables(folder: Path, settings: list[str]) -> list[Path]:
    """Return the tables of a study's variants that were run with these settings, the newest first."""
    record = folder / "study.json"
    if not record.is_file():
        return [folder / "runs.csv"] if (folder / "runs.csv").is_file() else []
    study = json.loads(record.read_text(encoding="utf-8"))
    others = study.get("variants", [])
    variants = sorted([study, *others], key=lambda each: each["made"], reverse=True)
    found = [folder / f"runs-{each.get('variant')}.csv" for each in variants if _settings(each["command"]) == settings]
    # a study that was run in one form has a single table, without the name of a variant
    alone = [folder / "runs.csv"] if not others and _settings(study["command"]) == settings else []
    return [path for path in (*found, *alone) if path.is_file()]


def _settings(command: str) -> list[str]:
    """Return the values of ``--set`` in a command, in order.

    >>> _settings("lab run zipf.py --set corpus=timemachine --runs runs")
    ['corpus=timemachine']
    """
    words = shlex.split(command)
    return sorted(value for name, value in itertools.pairwise(words) if name == "--set")


def _transformed(value: float, transform: str) -> float:
    """Return a value as the lesson prints it: ``exp`` turns nats into a perplexity."""
    return math.exp(value) if transform == "exp" else value


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows by chapter of the book, then by year and lesson of the course, then the others, each as they were."""
    return sorted(rows, key=lambda row: _place(row["lesson"]))


def _place(lesson: str) -> tuple[int, int, int]:
    """Return where a lesson stands.

    >>> sorted(["course 2018, lesson 5", "book 11.6", "Koren 2009", "book 4.10", "book 4.9, corrected"], key=_place)
    ['book 4.9, corrected', 'book 4.10', 'book 11.6', 'course 2018, lesson 5', 'Koren 2009']
    """
    for number, pattern in enumerate((r"book (\d+)\.(\d+)", r"course (\d+), lesson (\d+)")):
        if found := re.match(pattern, lesson):
            return number, int(found[1]), int(found[2])
    return 2, 0, 0


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page; rows without a measurement are left out."""
    return HEAD + "".join(_line(row) for row in ordered([row for row in rows if "ours" in row]))


def _line(row: dict[str, Any]) -> str:
    mean, deviation = row["ours"]
    spread = "" if deviation is None else f" ± {deviation:.2g}"
    unit = row.get("unit", "seed")
    count = f"{row['seeds']} {unit}{'s' if row['seeds'] > 1 else ''}"
    settings = "".join(f" --set {each}" for each in row.get("set", []))
    command = f"`lab run experiments/{row['study']}.py{settings}`"
    arm = "" if row["arm"] == "base" else f", arm *{row['arm']}*"
    cells = [row["lesson"], row["name"], row["printed"], f"{mean:.4g}{spread} ({count})", command + arm, row["why"]]
    return f"| {' | '.join(cells)} |\n"


def main() -> int:
    """Update the measured values, and write the page."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    rows = json.loads(ROWS.read_text(encoding="utf-8"))
    for row in rows:
        measure(row, [Path(each) for each in sys.argv[1:]])
        if "ours" not in row:
            print(f"not measured: lab run experiments/{row['study']}.py", file=sys.stderr)
    rows = ordered(rows)
    ROWS.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (DOCS / "lessons.md").write_text(page(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
