"""The contract of trackers: one run of theirs per run of ``lab``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
from lab_basics.recipes import flat_recipe

from lab.errors import LabError
from lab.study.store import RunRecord

__all__ = ["RunFacts", "Tracker", "artefacts_of", "facts_of", "need_package"]

FILES = ("experiment.json", "environment.json", "failure.json", "output.txt")
"""Files of a run, besides its artefacts, that are sent; weights and checkpoints are not."""


@attrs.frozen
class RunFacts:
    """What a tracker shows of a run from its beginning.

    Attributes:
        study, arm, seed, key: of the run; a learner outside of a study has no key.
        parameters: path → value of the resolved experiment: ``optimizer``, ``optimizer.eps``, ``lr``.
        file: the study's file.
        began: seconds since 1970.
    """

    study: str
    arm: str
    seed: int
    key: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    file: str = ""
    began: float | None = None

    @property
    def name(self) -> str:
        """Its readable name, ``wide/seed-0``."""
        return f"{self.arm}/seed-{self.seed}"

    @property
    def tags(self) -> dict[str, str]:
        """Its identity as texts."""
        tags = {"study": self.study, "arm": self.arm, "seed": str(self.seed), "key": self.key}
        return {name: value for name, value in tags.items() if value}


class Tracker(ABC):
    """Base class of trackers. An instance serves one run at a time: ``start``, ``log`` for each epoch, ``finish``.

    Methods may raise anything: a tracker that fails is reported once, and the run goes on.
    """

    name: str = ""

    @property
    @abstractmethod
    def where(self) -> str:
        """The address of its runs, without passwords: a run that was begun at another address begins anew."""

    @abstractmethod
    def check(self) -> None:
        """Raise a LabError if runs cannot be sent: a package is missing, nobody is logged in. No network is used."""

    @abstractmethod
    def start(self, run: RunFacts, known: str | None) -> str:
        """Begin a run, or continue the one that an earlier ``start`` called ``known``, and return its id.

        If that one was deleted meanwhile, a new one begins.
        """

    @abstractmethod
    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the metrics of an epoch, counted from 0; NaN and infinite values are metrics too."""

    @abstractmethod
    def finish(
        self,
        status: str,
        metrics: Mapping[str, float],
        files: Mapping[str, Path],
        *,
        error: str = "",
        ended: float | None = None,
    ) -> None:
        """End the run.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``.
            metrics: ``final/valid_loss``, ``budget/seconds`` …
            files: name → file to send.
            error: of a failed run, its first line.
            ended: seconds since 1970, if it is not now.
        """


def need_package(module: str, install: str, owner: str) -> None:
    """Raise if a package is missing.

    Raises:
        LabError: with the command that installs it.
    """
    if find_spec(module) is None:
        raise LabError(f"the package {module} is not installed", where=owner, hint=f"pip install '{install}'")


def facts_of(record: RunRecord) -> RunFacts:
    """Return the facts of a run, from its record.

    Raises:
        StoreError: its record is missing or damaged.
    """
    made = record.experiment(strict=False)
    parameters = {
        # a task's own parameters have the names that overrides use: lr, not task.lr
        path.removeprefix("task."): value
        for path, value in flat_recipe(made["experiment"]).items()
    }
    began = record.folder / "environment.json"
    return RunFacts(
        made["study"],
        made["arm"],
        made["seed"],
        record.key,
        parameters,
        made.get("file", ""),
        began.stat().st_mtime if began.is_file() else None,
    )


def artefacts_of(folder: Path) -> dict[str, Path]:
    """Return name → file of what a run left to look at; links and TensorBoard's events are left out."""
    artefacts = folder / "artefacts"
    found = {path.relative_to(folder).as_posix(): path for path in sorted(artefacts.rglob("*"))}
    named = {name: folder / name for name in FILES} | found
    return {
        name: path
        for name, path in named.items()
        if path.is_file()
        and path.resolve().is_relative_to(folder.resolve())
        and not name.startswith("artefacts/tensorboard/")
        and not path.name.startswith(".")
    }
