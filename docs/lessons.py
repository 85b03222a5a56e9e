"""Table of what lessons print and what their experiments give here, from stored runs.

    python docs/lessons.py runs [FOLDER ...]       read runs.csv of the studies, and write docs/lessons.md

`docs/lessons.json` holds the rows with what was measured last; a study that none of the folders holds keeps its value.
A row may have `set`, the settings of `--set` that its study was run with, `options`, others that stand in its command,
`unit`, what a run stands for if it is not a seed, and `transform`.
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
Chinese edition; the topic has the section of the English one. Course: fast.ai, with its year; lessons 8 to 14 are those
of its second part. A command runs all arms of its study; `--arms A` runs the arm A beside the base alone.
[Below](#what-is-not-here) are printed figures without a row.

| lesson | topic | metric | printed | ours | command | why it differs |
| --- | --- | --- | --- | --- | --- | --- |
"""

TOPICS = {
    "book 3.2": "linear regression by hand; 3.4",
    "book 3.3": "linear regression by torch; 3.5",
    "book 3.6": "softmax regression by hand; 4.4",
    "book 3.7": "softmax regression by torch; 4.5",
    "book 4.2": "perceptron by hand; 5.2",
    "book 4.3": "perceptron by torch; 5.2",
    "book 4.4": "under- and overfitting; 3.6",
    "book 4.5": "weight decay; 3.7",
    "book 4.6": "dropout; 5.6",
    "book 4.8": "initial weights; 5.4",
    "book 4.9": "distribution shift; 4.7",
    "book 4.10": "house prices; 5.7",
    "book 6.2": "convolution; 7.2",
    "book 8.1": "autoregression; 9.1",
    "book 8.3": "counts of words; 9.3",
    "book 8.5": "recurrent network by hand; 9.5",
    "book 8.6": "recurrent network by torch; 9.6",
    "book 8.7": "gradients through time; 9.7",
    "book 9.1": "gated recurrent unit; 10.2",
    "book 9.2": "long short-term memory; 10.1",
    "book 9.3": "deep recurrent networks; 10.3",
    "book 11.3": "gradient descent; 12.3",
    "book 11.4": "noisy gradients; 12.4",
    "book 11.5": "minibatches; 12.5",
    "book 11.6": "momentum; 12.6",
    "book 11.7": "AdaGrad; 12.7",
    "book 11.8": "RMSProp; 12.8",
    "book 11.9": "Adadelta; 12.9",
    "book 11.10": "Adam and Yogi; 12.10",
    "book 11.11": "schedules of the rate; 12.11",
    "book 12.1": "compiled networks; 13.1",
    "book 12.2": "asynchronous calls; 13.2",
    "book 12.3": "parallel devices; 13.3",
    "book 12.5": "data-parallel training by hand; 13.5",
    "book 12.7": "parameter servers; 13.7",
    "book 14.10": "pretraining of BERT; 15.10",
    "course 2018, lesson 3": "stores with entity embeddings",
    "course 2018, lesson 4": "collaborative filtering in a spreadsheet",
    "course 2018, lesson 5": "collaborative filtering",
    "course 2018, lesson 6": "characters",
    "course 2018, lesson 7": "pictures",
    "course 2018, lesson 11 (translation)": "French to English",
    "course 2018, lesson 11 (DeViSE)": "pictures and words",
    "course 2019, lesson 3": "several classes per picture",
    "course 2019, lesson 4": "tables",
    "ensembles": "mean of the probabilities",
    "char-rnn article": "characters of fairy tales",
    "Koren 2009": "ratings over time",
}
"""Start of a lesson → its topic, of the book with the section of the English edition."""

MISSING = (
    ("several sections, earlier epochs", "the loss after each", "curves of the report have them; rows have the last"),
    (
        "book 4.10, training rows",
        "0.1655, mean of the folds; 0.162, trained on all",
        "metrics are of validation, and `train_loss` is in dollars",
    ),
    ("book 8.2", "3,221 lines, 170,580 characters, an alphabet of 28", "properties of the file, which a test has"),
    (
        "book 9.4, bidirectional language model",
        "perplexity 1.1, and nonsense when it writes",
        "`char_rnn` refuses to continue a text that it reads from both ends, and says so",
    ),
    ("book 12.3, copies to the host", "2.31 s, overlapped 1.69 s", "no GPU"),
    (
        "book 12.6, ResNet-18",
        "accuracy 0.91; with two GPUs 0.73",
        "some hours of a CPU, not run: `lab run experiments/data_parallel_by_hand.py --set dataset=fashion_mnist"
        ' --set "architecture=resnet(stem=small)" --set batch_size=256 --epochs 10 --arms base`',
    ),
    (
        "course 2018, lesson 5, films at both ends of the components",
        "titles with their coordinates",
        "the report of `course_movielens.py` lists them; they turn with the seed",
    ),
)
"""Printed figures without a row: lesson, what is printed, why it is not here."""


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


def topic(lesson: str) -> str:
    """Return the topic of a lesson, and the section of the English edition of the book.

    >>> topic("book 11.11, cosine")
    'schedules of the rate; 12.11'
    """
    # the longest name that fits: 11.1 also begins 11.11
    names = [name for name in TOPICS if re.match(rf"{re.escape(name)}(?!\d)", lesson)]
    return TOPICS[max(names, key=len)] if names else ""


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page; rows without a measurement are left out."""
    return HEAD + "".join(_line(row) for row in ordered([row for row in rows if "ours" in row])) + _missing()


def _missing() -> str:
    lines = ["\n## What is not here\n\n| lesson | printed | why |\n| --- | --- | --- |\n"]
    return "".join([*lines, *(f"| {' | '.join(each)} |\n" for each in MISSING)])


def _line(row: dict[str, Any]) -> str:
    mean, deviation = row["ours"]
    spread = "" if deviation is None else f" ± {deviation:.2g}"
    unit = row.get("unit", "seed")
    count = f"{row['seeds']} {unit}{'s' if row['seeds'] > 1 else ''}"
    settings = "".join(f" --set {shlex.quote(each)}" for each in row.get("set", []))
    options = f" {row['options']}" if "options" in row else ""
    command = f"`lab run experiments/{row['study']}.py{settings}{options}`"
    arm = "" if row["arm"] == "base" else f", arm *{row['arm']}*"
    # as many digits as are printed, so that "it does not differ" can be seen
    printed = len(re.sub(r"e.*|\D", "", row["printed"]).lstrip("0"))
    ours = f"{mean:.{max(printed, 4)}g}{spread} ({count})"
    cells = [row["lesson"], topic(row["lesson"]), row["name"], row["printed"], ours, command + arm, row["why"]]
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
