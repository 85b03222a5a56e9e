"""TensorBoard: the history of a run, live; its pictures and texts when it ends; a study's hyper-parameters after it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.training.callback import Callback
from lab_basics.callbacks import MEASURING
from lab_basics.monitor import finished_epoch

if TYPE_CHECKING:
    from lab.study.store import RunRecord
    from lab.study.study import Study
    from lab.training import Learner

__all__ = ["TensorBoard", "write_artefacts", "write_hyper_parameters"]

SUFFIX = ".hparams"
ARTEFACTS_SUFFIX = ".artefacts"
MAX_CHARS = 100_000
"""Of a longer text, this many characters are shown."""


class TensorBoard(Callback):
    """Writes every figure of the history, and the learning rates, as scalars: ``tensorboard --logdir runs``.

    One point per epoch, in the artefact folder ``tensorboard``; without a folder it does nothing. Losses stand beside
    each other (``loss/train, loss/valid``), metrics by split (``accuracy/valid``), the rest under its own name. A
    resumed run writes on from its last epoch.
    """

    observer = True

    name = "tensorboard"
    before = MEASURING
    rehearse = False  # importing and opening a writer takes seconds

    def __init__(self) -> None:
        self._writer: Any = None

    def before_fit(self, learner: Learner) -> None:
        if learner.folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder = learner.artefact("tensorboard")
        self._writer = SummaryWriter(str(folder), purge_step=learner.epochs_done or None)

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is None or self._writer is None:
            return
        for column, value in row.items():
            if column != "epoch":
                self._writer.add_scalar(_tag(column), value, row["epoch"])
        for index, group in enumerate(learner.optimizer.param_groups):
            self._writer.add_scalar(f"lr/{index}", group["lr"], row["epoch"])
        self._writer.flush()

    def after_fit(self, learner: Learner) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tag(column: str) -> str:
    """The name of a figure in TensorBoard, where ``/`` makes groups.

    >>> _tag("valid_loss"), _tag("valid_bleu"), _tag("seconds")
    ('loss/valid', 'bleu/valid', 'seconds')
    """
    split, _, figure = column.partition("_")
    return f"{figure}/{split}" if figure and split in ("train", "valid", "test") else column


# --- pictures and texts -----------------------------------------------------------------------------------------------


def write_artefacts(folder: Path, step: int = 0) -> None:
    """Every picture (``*.png``) and text (``*.txt``) that callbacks left in a run's folder, beside its scalars.

    They are called as their files, ``attention/01``. Done twice, it changes nothing; a run that wrote no events, or
    left neither, is left alone.

    Args:
        folder: the run's.
        step: under which they are shown, the number of the last epoch.
    """
    artefacts, events = folder / "artefacts", folder / "artefacts" / "tensorboard"
    if not events.is_dir():
        return
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
    """The file as it is: TensorBoard shows PNG, whose size stands in its first chunk."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    if len(png) < 24 or not png.startswith(b"\x89PNG\r\n\x1a\n"):
        return
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def _verbatim(text: str) -> str:
    """A text in Markdown that is shown as it stands, line by line.

    >>> _verbatim("a  b\\n*c*")
    '    a  b\\n    *c*'
    """
    shown = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}\n… ({len(text):,} characters)"
    return "\n".join(f"    {line}" for line in shown.splitlines())


# --- hyper-parameters -------------------------------------------------------------------------------------------------


def write_hyper_parameters(study: Study, runs: Sequence[RunRecord]) -> None:
    """For every finished run that has events: its hyper-parameters with its final figures.

    They stand beside the run's scalars, so that they belong to the same run in TensorBoard: arm, seed, and every
    parameter in which the runs of the study differ. The study's folder gets a readable name for each run, as a link
    (``runs/<study>/tensorboard/<arm>/seed-0``): ``tensorboard --logdir runs/<study>``. Done twice, it changes nothing.
    """
    chosen = [run for run in runs if run.status == "finished" and _events(run).is_dir()]
    if not chosen:
        return
    recipes = [_flat(run.experiment()["experiment"]) for run in chosen]
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

    for old in folder.glob(f"*{SUFFIX}"):
        old.unlink()
    with SummaryWriter(str(folder), filename_suffix=SUFFIX) as writer:
        for summary in hparams(dict(parameters), dict(figures)):
            writer.file_writer.add_summary(summary)
        for name, value in figures.items():
            writer.add_scalar(name, value)


def _link(run: RunRecord, study: str) -> None:
    """A readable name for a run's events; where links are not to be had, TensorBoard shows the run's key."""
    arm = "".join(letter if letter.isalnum() or letter in " _-+=." else "_" for letter in run.arm).strip(". ") or "arm"
    link = run.folder.parents[1] / study / "tensorboard" / arm / f"seed-{run.seed}"
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(_events(run), link.parent), target_is_directory=True)
    except OSError:
        return


def _varying(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths whose values differ between recipes."""
    paths = dict.fromkeys(path for recipe in recipes for path in recipe)
    return [path for path in paths if len({recipe.get(path) for recipe in recipes}) > 1]


def _flat(value: Any, path: str = "") -> dict[str, bool | int | float | str]:
    """A resolved experiment as path → value; a component is its name, its parameters hang below it.

    >>> _flat({"optimizer": {"component": "adam", "plugin": "p", "params": {"eps": 0.1}}, "lr": 0.5})
    {'optimizer': 'adam', 'optimizer.eps': 0.1, 'lr': 0.5}
    """
    if isinstance(value, dict) and "component" in value:
        return {path: value["component"], **_flat(value["params"], path)}
    if isinstance(value, dict):
        inner = [_flat(item, f"{path}.{name}" if path else name) for name, item in value.items()]
        return {name: item for items in inner for name, item in items.items()}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        inner = [_flat(item, f"{path}.{item['component']}") for item in value]
        return {name: item for items in inner for name, item in items.items()}
    return {path: value if isinstance(value, (bool, int, float, str)) else "none" if value is None else str(value)}
