"""A large file of word vectors, and a program that reads some of it and prints the seconds and megabytes that took."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 300


def write_vectors(path: Path, megabytes: int) -> int:
    """A ``.vec`` file of about so many MB with the words ``w0``, ``w1`` …; gives their number."""
    values = np.random.default_rng(0).normal(0, 0.3, (500, WIDTH))
    rows = [" ".join(f"{value:.4f}" for value in row) for row in values]
    number = megabytes * 1_000_000 // (len(rows[0]) + 8)
    with path.open("w", encoding="ascii") as file:
        file.write(f"{number} {WIDTH}\n")
        file.writelines(f"w{position} {rows[position % 500]}\n" for position in range(number))
    return number


def read_some(path: Path, number: int, needed: int) -> dict[str, Any]:
    """Make the table of ``needed`` words spread over a file of ``number``."""
    from lab_text.vectors import TextVectors
    from lab_text.vocabulary import Vocabulary

    vocabulary = Vocabulary([f"w{position}" for position in range(0, number, number // needed)][:needed])
    before = most_megabytes()
    started = time.perf_counter()
    table = TextVectors(path=str(path)).table(vocabulary)
    seconds = time.perf_counter() - started
    assert not table.missing
    return {"seconds": seconds, "megabytes": most_megabytes() - before, "needed": table.weights.nbytes / 1e6}


def most_megabytes() -> float:
    """The most memory that this process has held, in MB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1000


if __name__ == "__main__":
    print(json.dumps(read_some(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
