"""TensorBoard: the history of a run, its pictures and texts, and the hyper-parameters of a study."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.training.callback import Callback
from lab_basics.callbacks import MEASURING
from lab_basics.monitor import finished_epoch
from lab_basics.recipes import flat_recipe

if TYPE_CHECKING:
    from lab.study.store import RunRecord
    from lab.study.study import Study
    from lab.training import Learner

__all__ = ["TensorBoard", "folder_name", "write_artefacts", "write_hyper_parameters"]

SUFFIX = ".hparams"
ARTEFACTS_SUFFIX = ".artefacts"
MAX_CHARS = 100_000
"""Longer texts are cut."""


class TensorBoard(Callback):
    """Write every metric of the history and the learning rates as scalars: ``tensorboard --logdir runs``.

    There is one point per epoch, in the artefact folder ``tensorboard``; without a folder it does nothing. Losses and
    metrics are grouped by name (``loss/train, loss/valid``, ``accuracy/valid``), other columns have their own name. A
    resumed run continues from its last epoch. A run that was finished without this callback gets its history, which
    has no learning rates.
    """

    observer = True
    acts_on_finished = True

    name = "tensorboard"
    before = MEASURING
    # Importing and opening a writer takes seconds.
    rehearse = False

    def __init__(self) -> None:
        self._writer: Any = None

    def before_fit(self, learner: Learner) -> None:
        if learner.folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder = learner.artefact("tensorboard")
        # purge_step hides the points that were written after the checkpoint of a resumed run.
        self._writer = SummaryWriter(str(folder), purge_step=learner.epochs_done or None)

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is None or self._writer is None:
            return
        self._add(row)
        for index, group in enumerate(learner.optimizer.param_groups):
            self._writer.add_scalar(f"lr/{index}", group["lr"], row["epoch"])
        self._writer.flush()

    def after_fit(self, learner: Learner) -> None:
        # a finished run comes here alone
        if self._writer is None and learner.is_finished and learner.folder is not None:
            self.before_fit(learner)
            for row in learner.history:
                self._add(row)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, row: Mapping[str, float]) -> None:
        for column, value in row.items():
            if column != "epoch":
                self._writer.add_scalar(_tag(column), value, row["epoch"])


def _tag(column: str) -> str:
    """Return the tag of a metric in TensorBoard, where ``/`` makes groups.

    >>> _tag("valid_loss"), _tag("valid_bleu"), _tag("seconds")
    ('loss/valid', 'bleu/valid', 'seconds')
    """
    split, _, name = column.partition("_")
    return f"{name}/{split}" if name and split in ("train", "valid", "test") else column


# --- pictures and texts -----------------------------------------------------------------------------------------------


def write_artefacts(folder: Path, step: int = 0) -> None:
    """Add the pictures (``*.png``) and texts (``*.txt``) among a run's artefacts to its events.

    They are named after their files, ``attention/01``. Calling it again replaces them; a run without events or without
    such artefacts is not changed.

    Args:
        folder: the folder of the run.
        step: the step at which they are shown, the number of the last epoch.
    """
    artefacts, events = folder / "artefacts", folder / "artefacts" / "tensorboard"
    if not events.is_dir():
        return
    # Replaced, since events can only be appended and would be shown twice.
    for old in events.glob(f"*{ARTEFACTS_SUFFIX}"):
        old.unlink()
    found = [(path.relative_to(artefacts), path) for path in _pictures_and_texts(artefacts)]
    if not found:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(events), filename_suffix=ARTEFACTS_SUFFIX) as writer:
        for name, path in found:
            tag = name.with_suffix("").as_posix()
            if path.suffix == ".png":
                _add_picture(writer, tag, path.read_bytes(), step)
            else:
                writer.add_text(tag, _verbatim(path.read_text(encoding="utf-8", errors="replace")), step)


def _pictures_and_texts(artefacts: Path) -> Iterator[Path]:
    for path in sorted(artefacts.rglob("*")):
        if path.suffix in (".png", ".txt") and path.is_file():
            yield path


def _add_picture(writer: Any, tag: str, png: bytes, step: int) -> None:
    """Add a PNG file as it is."""
    # add_image() would decode and encode it again. The size of a PNG stands in its first chunk.
    from tensorboard.compat.proto.summary_pb2 import Summary

    if len(png) < 24 or not png.startswith(b"\x89PNG\r\n\x1a\n"):
        return
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def _verbatim(text: str) -> str:
    """Return Markdown that shows a text verbatim.

    >>> _verbatim("a  b\\n*c*")
    '    a  b\\n    *c*'
    """
    shown = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}\n… ({len(text):,} characters)"
    return "\n".join(f"    {line}" for line in shown.splitlines())


# --- hyper-parameters -------------------------------------------------------------------------------------------------


def write_hyper_parameters(study: Study, runs: Sequence[RunRecord]) -> None:
    """Write the hyper-parameters and final metrics of every finished run that has events.

    They are stored with the run's scalars, so that TensorBoard shows them as the same run: arm, seed, and every
    parameter in which the runs of the study differ. The study's folder gets a link with a readable name for each run
    (``runs/<study>/tensorboard/<arm>/seed-0``): ``tensorboard --logdir runs/<study>``. Calling it again changes
    nothing.
    """
    chosen = [run for run in runs if run.status == "finished" and _events(run).is_dir()]
    if not chosen:
        return
    recipes = [flat_recipe(run.experiment()["experiment"]) for run in chosen]
    varying = _varying(recipes)
    for run, recipe in zip(chosen, recipes, strict=True):
        parameters = {"arm": run.arm, "seed": run.seed, **{path: recipe.get(path, "none") for path in varying}}
        _write_trial(_events(run), parameters, {f"final/{_tag(name)}": value for name, value in run.metrics.items()})
        _link(run, study.name)


def _events(run: RunRecord) -> Path:
    return run.folder / "artefacts" / "tensorboard"


def _write_trial(folder: Path, parameters: Mapping[str, Any], figures: Mapping[str, float]) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    # Replaced, since a study that grows writes them again.
    for old in folder.glob(f"*{SUFFIX}"):
        old.unlink()
    with SummaryWriter(str(folder), filename_suffix=SUFFIX) as writer:
        for summary in hparams(dict(parameters), dict(figures)):
            writer.file_writer.add_summary(summary)
        for name, value in figures.items():
            writer.add_scalar(name, value)


def folder_name(arm: str) -> str:
    """Return the name of an arm as that of one folder, on every system."""
    return "".join(letter if letter.isalnum() or letter in " _-+=." else "_" for letter in arm).strip(". ") or "arm"


def _link(run: RunRecord, study: str) -> None:
    """Link the events of a run under a readable name; without links, TensorBoard shows the run's key."""
    link = run.folder.parents[1] / study / "tensorboard" / folder_name(run.arm) / f"seed-{run.seed}"
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(_events(run), link.parent), target_is_directory=True)
    except OSError:
        return


def _varying(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths whose values differ between runs."""
    paths = dict.fromkeys(path for recipe in recipes for path in recipe)
    return [path for path in paths if len({recipe.get(path) for recipe in recipes}) > 1]
