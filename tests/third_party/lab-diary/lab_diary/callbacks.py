"""Diary of runs: a line per epoch, with the arm, the seed and the key of the run."""

from __future__ import annotations

import json
from pathlib import Path

from lab import Callback, Learner

__all__ = ["Diary"]


class Diary(Callback):
    """Write a line of JSON per epoch, with what run it is of.

    Args:
        file: the file; empty for ``diary.jsonl`` among the artefacts of each run.
    """

    # it only reads, so adding it changes no key, and the rehearsal of a plan leaves it alone
    observer = True
    # after all callbacks that add columns to the history
    after = ("*",)

    def __init__(self, *, file: str = "") -> None:
        self.file = file

    def after_epoch(self, learner: Learner) -> None:
        """Write the newest row of the history."""
        # a learner outside of a study has no record, and without a folder nothing is kept
        if learner.folder is None:
            return
        record = learner.folder / "experiment.json"
        known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        about = {name: known.get(name) for name in ("study", "arm", "seed", "key")}
        path = Path(self.file) if self.file else learner.artefact("diary.jsonl")
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**about, **learner.history[-1]}) + "\n")
