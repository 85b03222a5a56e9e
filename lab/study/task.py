"""Tasks: a user's own training function as a whole experiment.

A task is called as ``function(**parameters, run=TaskRun)`` and returns its final metrics. Its parameters are bound,
checked, overridden and compared as those of any component; what it does inside is its own affair, so its arms are
paired by seed alone.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from lab.errors import RunFailed, StudyError, did_you_mean
from lab.files import atomic_path
from lab.registry.resolved import Component
from lab.study.files import one_line
from lab.study.store import history_of
from lab.training.rng import Streams, all_generators, global_random_state, set_global_random_state

__all__ = [
    "NoData",
    "TaskCheckpoint",
    "TaskRun",
    "check_task",
    "forget_checkpoint",
    "task_notes",
    "train_task",
    "without_primary",
]

HISTORY = "metrics.jsonl"
CHECKPOINT = "task-checkpoint.safetensors"
RANDOM = "lab.random."
"""Beginning of the names of random positions in a checkpoint."""


@attrs.define(eq=False)
class NoData:
    """Data of a task, which reads its own."""

    fingerprint: str = ""
    notes: list[str] = attrs.field(factory=list)
    train: tuple[Any, ...] = ()
    valid: tuple[Any, ...] | None = None
    test: tuple[Any, ...] | None = None


class TaskCheckpoint:
    """A checkpoint that survives a killed process: tensors and JSON, replaced as a whole; no pickle.

    It also holds the positions of the run's random streams and of the global generators of torch, Python and NumPy, and
    ``load`` goes back to them: a function that draws from these goes on with the numbers that it would have drawn. The
    curves go back to the rows that were logged before it was saved, so log an epoch first.

    Args:
        folder: of the run.
        saved: called after each save.
        streams: of the run.
        device: that it trains on, whose generator is kept too.
        history: rows that the run logs; ``load`` puts those of the killed run back into it.
    """

    def __init__(
        self,
        folder: Path,
        saved: Callable[[], None],
        streams: Streams,
        device: str,
        history: list[dict[str, float]],
    ) -> None:
        self._folder, self._place, self._saved = folder, folder / CHECKPOINT, saved
        self._streams, self._device, self._history = streams, torch.device(device), history

    def save(self, tensors: Mapping[str, Tensor] | None = None, **state: Any) -> None:
        """Replace the checkpoint.

        Args:
            tensors: name → tensor, for example ``model.state_dict()``.
            state: JSON values, for example ``epoch=3``.

        Raises:
            TypeError: a value is neither a tensor nor JSON.
            KeyboardInterrupt: the run was asked to stop; everything is saved.
        """
        from safetensors.torch import save_file

        for name, tensor in (tensors or {}).items():
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"checkpoint.save: {name!r} is {type(tensor).__name__}, not a tensor; plain values are given by "
                    f"name: save(tensors, {name}=...)"
                )
        kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in (tensors or {}).items()}
        positions, plain = _positions(self._streams, self._device)
        kept.update({f"{RANDOM}{name}": tensor for name, tensor in positions.items()})
        # one file, so that tensors and state are always of the same moment
        said = {"state": state, "random": plain, "rows": len(self._history)}
        with atomic_path(self._place) as temporary:
            save_file(kept, temporary, metadata={name: json.dumps(value) for name, value in said.items()})
        self._saved()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the state that were saved last; None in a run that begins anew.

        Random streams, global generators and the run's curves go back to where they were then.

        Raises:
            StoreError: the curves are damaged.
        """
        from safetensors import safe_open

        if not self._place.is_file():
            return None
        with safe_open(self._place, "pt") as file:
            known = file.metadata()
            state: dict[str, Any] = json.loads(known["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
        # checkpoints of earlier versions hold no positions
        if "random" in known:
            positions = {
                name.removeprefix(RANDOM): tensors.pop(name) for name in list(tensors) if name.startswith(RANDOM)
            }
            _return_to(positions, json.loads(known["random"]), self._streams, self._device)
        rows = history_of(self._folder)
        self._history[:] = rows[: int(json.loads(known["rows"]))] if "rows" in known else rows
        return tensors, state


class TaskRun:
    """The side of a run that a training function sees.

    Attributes:
        seed: of the run.
        folder: where the run may leave files; they are kept in ``folder / "artefacts"`` or wherever it writes below.
        device: ``cpu``, ``cuda``, ``cuda:1``.
        threads: CPU threads that torch uses.
        streams: named random streams, ``run.streams.generator("sampler")``; the same seed gives the same numbers.
        checkpoint: ``save`` and ``load``; a killed run gets its last checkpoint back.
        history: rows that were logged.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        device: str,
        stop: threading.Event,
        advanced: Callable[[dict[str, float]], None],
    ) -> None:
        self.seed, self.folder, self.device = seed, folder, device
        self.threads, self.streams = torch.get_num_threads(), Streams(seed)
        self.history: list[dict[str, float]] = []
        self.checkpoint = TaskCheckpoint(folder, self._stop_if_asked, self.streams, device, self.history)
        self._stop, self._advanced, self._logged = stop, advanced, time.perf_counter()

    @property
    def should_stop(self) -> bool:
        """True once the run was asked to stop: save what is needed and return, or go on to the next ``log``."""
        return self._stop.is_set()

    def log(self, *, epoch: int | None = None, **metrics: float) -> None:
        """Add a row to the curves of the run, and show it.

        Args:
            epoch: from 0; the next one if None. A row of an epoch that is there already replaces it and what follows,
                as a resumed run does.
            metrics: numbers.

        Raises:
            RunFailed: a metric is not a number.
            KeyboardInterrupt: the run was asked to stop, and it keeps no checkpoints of its own.
        """
        number = len(self.history) if epoch is None else int(_numbers({"epoch": epoch}, "run.log(...)")["epoch"])
        now = time.perf_counter()
        row = {"epoch": number, **_numbers(metrics, "run.log(...)"), "seconds": round(now - self._logged, 3)}
        self._logged = now
        # in place, since the checkpoint counts the same rows
        self.history[:] = [*(each for each in self.history if each["epoch"] < number), row]
        with atomic_path(self.folder / HISTORY, durable=False) as temporary:
            temporary.write_text("".join(map(one_line, self.history)), encoding="utf-8")
        self._advanced(row)
        # a function that saves checkpoints is stopped after its next one, so that no epoch is lost
        if not (self.folder / CHECKPOINT).exists():
            self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt


def _positions(streams: Streams, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the positions of all generators: tensors, and what is plain JSON."""
    state = global_random_state(device)
    tensors = {f"stream.{name}": position for name, position in streams.state_dict().items()}
    tensors |= {name: state[name].cpu() for name in ("cpu", "cuda") if name in state}
    plain: dict[str, Any] = {"python": state["python"]}
    if "numpy" in state:
        tensors["numpy"], *plain["numpy"] = state["numpy"]
    return tensors, plain


def _return_to(tensors: Mapping[str, Tensor], plain: Mapping[str, Any], streams: Streams, device: torch.device) -> None:
    """Bring all generators to the positions that ``_positions`` returned."""
    beginning = "stream."
    streams.return_to({n.removeprefix(beginning): t for n, t in tensors.items() if n.startswith(beginning)})
    version, internal, gauss = plain["python"]
    state: dict[str, Any] = {name: tensors[name] for name in ("cpu", "cuda") if name in tensors}
    state["python"] = (version, tuple(internal), gauss)
    if "numpy" in plain:
        state["numpy"] = (tensors["numpy"], *plain["numpy"])
    set_global_random_state(state, device)


def train_task(
    task: Component, run: TaskRun, compare: str, directions: Mapping[str, bool]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Call a task and return its metrics, and what a result says besides.

    Args:
        task: the resolved function.
        run: what it is given.
        compare: the primary metric, for a message.
        directions: metric → whether higher is better.

    Raises:
        RunFailed: what it returns is not a dictionary of numbers.
    """
    given = {"run": run} if "run" in task.needs else {}
    with all_generators(run.streams.seed("task")):
        returned = task.partial({})(**given)
    if not isinstance(returned, Mapping) or not returned:
        what = "nothing" if returned is None else f"{type(returned).__name__}: {str(returned)[:60]}"
        raise RunFailed(
            f"{task.label} returns {what}", hint=f"return its metrics as a dictionary: {{'{compare}': 0.93}}"
        )
    metrics = _numbers(returned, f"what {task.label} returns")
    # a table of epochs gives its number beside its scores, and it is none
    epoch = int(metrics.pop("epoch", 0))
    if not run.history:
        run.log(epoch=epoch, **metrics)
    return metrics, {
        "undefined": {name: "it is NaN" for name, value in metrics.items() if math.isnan(value)},
        "higher_is_better": {name: flag for name, flag in directions.items() if name in metrics},
    }


def check_task(task: Component) -> None:
    """Ask a task whether it can be called, before anything is trained.

    A task may have a function ``problems`` as its attribute: called with its parameters, it returns sentences.

    Raises:
        StudyError: it returns one or more.
    """
    find = getattr(task.factory, "problems", None)
    problems = [f"{task.label}: {problem}" for problem in find(**task.params)] if callable(find) else []
    if problems:
        raise StudyError(problems)


def task_notes(task: Component) -> list[str]:
    """Return what a user should know of a function's parameters before it is called."""
    signature = inspect.signature(task.factory)
    kinds = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    found = [
        f"{task.label}: a study sets named parameters only, and gives nothing to {kinds[each.kind]}{each.name}"
        for each in signature.parameters.values()
        if each.kind in kinds
    ]
    if "seed" in task.params:
        found.append(f"{task.label}: its parameter 'seed' is {task.params['seed']!r} in every run; run.seed differs")
    return found


def without_primary(task: str, metrics: Mapping[str, float], compare: str) -> RunFailed:
    """Return the error of a task, by its label, whose metrics lack the primary one."""
    return RunFailed(
        f"{task} returns no '{compare}', which this study compares",
        where=f"it returns: {', '.join(metrics)}",
        hint=did_you_mean(compare, list(metrics)),
    )


def forget_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished run."""
    (folder / CHECKPOINT).unlink(missing_ok=True)


def _numbers(values: Mapping[str, Any], where: str) -> dict[str, float]:
    """Return metrics as Python numbers; tensors and NumPy scalars of one element are converted.

    Raises:
        RunFailed: a value is not a number, or a name not a text.
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        count = value.numel() if isinstance(value, Tensor) else getattr(value, "size", 0)  # of tensors and arrays
        item = value.item() if count == 1 and hasattr(value, "item") else value
        if not isinstance(name, str):
            raise RunFailed(f"{where}: the name {name!r} of a metric is not a text", hint="name it: {'accuracy': 0.93}")
        if isinstance(item, int) and abs(item) > sys.float_info.max:
            raise RunFailed(f"{where}: the metric {name!r} is larger than any float")
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise RunFailed(
                f"{where}: the metric {name!r} is {type(value).__name__}, not a number",
                hint="give numbers, one per name: float(loss.mean())",
            )
        found[name] = item
    return found
