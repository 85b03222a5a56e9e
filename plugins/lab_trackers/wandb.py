"""Weights & Biases: online, or offline for ``wandb sync``."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab_trackers.tracker import RunFacts, Tracker, need_package

__all__ = ["Wandb"]

EXIT_CODES = {"finished": 0, "failed": 1, "interrupted": 255}
MAX_TAG = 64
INIT_TIMEOUT_S = 30
"""Instead of 90 seconds, during which no run would train."""


@contextmanager
def _keeping_exits() -> Iterator[None]:
    """Restore the functions of ``sys`` that W&B replaces for the rest of the process.

    It learns from them how a process ended; its runs are told, and messages would name its file for the user's exit.
    """
    before = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = before


class Wandb(Tracker):
    """Runs in Weights & Biases, one project per study, grouped by arm.

    Args:
        project: the project; the study's name if empty and ``WANDB_PROJECT`` is not set.
        entity: user or team; else the library's own setting.
        offline: write to ``folder`` only, for ``wandb sync``; None follows ``WANDB_MODE``.
        folder: where its files are written, in a folder ``wandb``; the working folder if empty.
    """

    name = "wandb"

    def __init__(self, *, project: str = "", entity: str = "", offline: bool | None = None, folder: str = "") -> None:
        self.project, self.entity, self.offline, self.folder = project, entity, offline, folder
        self._run: Any = None

    @property
    def where(self) -> str:
        return "/".join([os.environ.get("WANDB_BASE_URL", ""), *self._owner()]).strip("/")

    def check(self) -> None:
        need_package("wandb", "wandb>=0.19,<1", "tracker 'wandb'")
        if self._mode() == "online" and not _api_key():
            raise LabError(
                "nobody is logged in to Weights & Biases",
                where="tracker 'wandb'",
                hint="wandb login, or set WANDB_API_KEY; without a network WANDB_MODE=offline",
            )

    def start(self, run: RunFacts, known: str | None) -> str:
        import wandb

        # an id can be used once only, also if its run was deleted: the key alone would not do
        given = known or f"{run.key[:12] or 'run'}-{uuid.uuid4().hex[:8]}"
        project, entity = self._owner()
        with _keeping_exits():
            self._run = wandb.init(
                project=project or run.study,
                entity=entity or None,
                id=given,
                resume="allow",
                name=run.name,
                group=run.arm,
                tags=[text[:MAX_TAG] for text in dict.fromkeys((run.study, run.arm)) if text],
                config={**run.parameters, **run.tags, "seed": run.seed},
                mode=self._mode(),
                dir=self.folder or None,
                reinit="create_new",
                settings=wandb.Settings(
                    console="off", silent=True, init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", INIT_TIMEOUT_S))
                ),
            )
        self._run.define_metric("epoch")
        return given

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **metrics}, step=epoch)

    def finish(
        self,
        status: str,
        metrics: Mapping[str, float],
        files: Mapping[str, Path],
        *,
        error: str = "",
        ended: float | None = None,
    ) -> None:
        self._run.summary.update({**metrics, "status": status, **({"error": error} if error else {})})
        kept = Path(self._run.dir)
        for name, path in files.items():
            # copied: a link would show what the store holds when an offline run is synced, or nothing
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept / name)
            self._run.save(str(kept / name), base_path=str(kept), policy="now")
        self._run.finish(exit_code=EXIT_CODES[status])
        self._run = None

    def _owner(self) -> tuple[str, str]:
        project = self.project or os.environ.get("WANDB_PROJECT", "")
        return project, self.entity or os.environ.get("WANDB_ENTITY", "")

    def _mode(self) -> Any:
        if self.offline is None:
            return os.environ.get("WANDB_MODE") or "online"
        return "offline" if self.offline else "online"


def _api_key() -> str:
    import wandb

    return os.environ.get("WANDB_API_KEY") or wandb.api.api_key or ""
