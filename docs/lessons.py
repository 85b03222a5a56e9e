"""Table of what lessons print and what their experiments give here, from stored runs.

    python docs/lessons.py runs [FOLDER ...]       read runs.csv of the studies, and write docs/lessons.md

`docs/lessons.json` holds the rows with what was measured last; a study that none of the folders holds keeps its value.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

__all__ = ["measure", "page"]

DOCS = Path(__file__).resolve().parent
ROWS = DOCS / "lessons.json"

HEAD = """# Lessons and what they print

Experiments that follow a lesson of a course or a section of a book have its settings, and say in their docstring where
they differ. This page has what the lesson prints beside what the experiment gives: the mean over seeds with the
standard deviation. `python docs/lessons.py runs` writes it, from the studies in the folder `runs`; only what was
measured so is here. Book: *Dive into Deep Learning*, sections of the second Chinese edition. Course: fast.ai 2018.

| lesson | metric | printed | ours | command | why it differs |
| --- | --- | --- | --- | --- | --- |
"""


def measure(row: dict[str, Any], folders: list[Path]) -> None:
    """Set ``ours`` and ``seeds`` of a row from the finished runs of its arm, if a folder has them."""
    for folder in folders:
        # A variant of a study, such as some of its arms, has a table of its own beside that of the file.
        for path in sorted((folder / row["study"]).glob("runs*.csv"), key=lambda each: (len(each.name), each.name)):
            with path.open(newline="", encoding="utf-8") as file:
                runs = [run for run in csv.DictReader(file) if run["arm"] == row["arm"] and run["status"] == "finished"]
            values = [_transformed(float(run[row["metric"]]), row.get("transform", "")) for run in runs]
            if values:
                row["ours"] = [statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None]
                row["seeds"] = len(values)
                break


def _transformed(value: float, transform: str) -> float:
    """Return a value as the lesson prints it: ``exp`` turns nats into a perplexity."""
    return math.exp(value) if transform == "exp" else value


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page; rows without a measurement are left out."""
    return HEAD + "".join(_line(row) for row in rows if "ours" in row)


def _line(row: dict[str, Any]) -> str:
    mean, deviation = row["ours"]
    spread = "" if deviation is None else f" ± {deviation:.2g}"
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    command = f"`lab run experiments/{row['study']}.py`"
    arm = "" if row["arm"] == "base" else f", arm *{row['arm']}*"
    cells = [row["lesson"], row["name"], row["printed"], f"{mean:.4g}{spread} ({seeds})", command + arm, row["why"]]
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
    ROWS.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (DOCS / "lessons.md").write_text(page(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
