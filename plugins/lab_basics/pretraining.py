"""Weights from another run, which is trained first if it is not there: a base class of callbacks, and ``body_from``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab.errors import LabError, ParameterError, describe_error
from lab.training.callback import Callback
from lab.training.progress import describe_epoch
from lab.training.rng import global_random_state, set_global_random_state

if TYPE_CHECKING:
    from lab import Experiment, Study
    from lab.study.run import Run, RunProgress
    from lab.study.store import RunRecord, Store
    from lab.training import Learner

__all__ = ["BodyFrom", "FromRun", "copy_body"]

OUTPUTS = ("fc", "output")
"""Names of last layers, which may be for other classes."""

MAX_LINES = 5

_being_checked: ContextVar[tuple[Any, ...]] = ContextVar("pretrainings being checked", default=())
"""Pretrainings whose own pretrainings are being checked: one among these would never begin."""


class FromRun(Callback):
    """Base class of callbacks that begin with the weights of another run; a subclass implements ``take``.

    Args:
        run: key of a finished run, or its first digits.
        pretraining: a function without parameters that returns the experiment to train first, instead of ``run``. Runs
            with the same pretraining and seed share it.
        settings: changes of the pretraining, written as after ``--set``: ``["epochs=1", "dataset.max_lines=300"]``.
        seed: of the pretraining; None is the seed of the run that begins with it.
        runs: folder of runs; None for that of this run.

    Raises:
        ParameterError: neither or both of ``run`` and ``pretraining`` are given, or ``settings`` without the latter.
        StudyError: the pretraining has no such settings.
        LabError: the run is gone or not finished.
    """

    reads_metrics = False
    # A plan must not train, and does not know the folder of runs.
    rehearse = False

    def __init__(
        self,
        *,
        run: str = "",
        pretraining: Callable[[], Experiment] | None = None,
        settings: Sequence[str] = (),
        seed: int | None = None,
        runs: str | None = None,
    ) -> None:
        if bool(run) == (pretraining is not None):
            raise ParameterError(
                "give either the key of a run or the experiment of a pretraining",
                where=f"callback '{self.name}'",
                hint=f"{self.name}(run='KEY'); lab runs lists the keys",
            )
        if settings and pretraining is None:
            raise ParameterError(
                "settings of a run that is finished cannot change",
                where=f"callback '{self.name}'",
                hint="pretraining=",
            )
        self.run, self.pretraining, self.settings = run, pretraining, list(settings)
        self.seed, self.runs = seed, runs

    @classmethod
    def check_runs(cls, params: Mapping[str, Any], store: Store) -> None:
        """Raise if the run is not there or not finished, or the pretraining is wrong; plans call it before any data."""
        from lab.study.needed import check_run

        check_run(params, store)
        if params.get("pretraining") is not None:
            _study_of(params["pretraining"], params.get("settings") or (), 0, store)

    def take(self, learner: Learner, source: Learner) -> None:
        """Copy what is needed from the trained ``source`` into ``learner``."""
        raise NotImplementedError

    def check(self, learner: Learner) -> None:  # type: ignore[override]
        if self.pretraining is not None:
            self._study(0)
        folder = self._folder(learner)
        # Without a folder of runs, as in a plan, this is told when training starts.
        if self.run and folder is not None:
            from lab.study.rebuild import finished_run
            from lab.study.store import Store

            finished_run(Store(folder), self.run)

    def remarks(self, learner: Learner) -> Sequence[str]:  # type: ignore[override]
        if self.pretraining is None:
            return ()
        seeds = "each seed" if self.seed is None else "all seeds"
        return (
            f"{self.name}: {_called(self.pretraining)} is trained first, once for {seeds}, unless a finished run is "
            "found; time and disk do not count it",
        )

    def before_fit(self, learner: Learner) -> None:  # type: ignore[override]
        # A resumed run has its weights already.
        if learner.position.step:
            return
        from lab.study.rebuild import load

        # Loading and training build models and draw numbers; this run's must stay as they are without them.
        state = global_random_state(learner.device)
        try:
            folder = self._folder(learner) or Path("runs")
            seed = learner.streams.seed_of_run if self.seed is None else self.seed
            source = load(self.run or self._pretrained(folder, seed, learner.say), folder)
        finally:
            set_global_random_state(state, learner.device)
        self.take(learner, source)

    def _folder(self, learner: Learner) -> Path | None:
        if self.runs is not None:
            return Path(self.runs)
        # runs/.store/<key>
        stored = None if learner.folder is None else learner.folder.resolve().parent
        return stored.parent if stored is not None and stored.name == ".store" else None

    def _study(self, seed: int) -> Study:
        """Return the pretraining as a study of one run."""
        assert self.pretraining is not None
        return _study_of(self.pretraining, self.settings, seed)

    def _pretrained(self, folder: Path, seed: int, say: Callable[[str], None]) -> str:
        """Return the key of the pretraining, which is trained unless it is found."""
        [run] = self._study(seed).run(runs=folder, listener=_Told(say)).runs
        if run.status != "finished":
            raise LabError(f"the pretraining {run.status}", where=f"run {run.key}", hint=f"lab runs show {run.key}")
        return str(run.key)


def _study_of(
    pretraining: Callable[[], Experiment], settings: Sequence[str], seed: int, store: Store | None = None
) -> Study:
    """Return a pretraining, changed by its settings, as a study of one run.

    Args:
        pretraining, settings, seed: as of ``FromRun``.
        store: where the runs are looked up that the pretraining itself begins with; None does not look them up.

    Raises:
        LabError: it is no function, fails, returns no experiment, or begins with itself.
        StudyError: every problem of the experiment and of the settings.
    """
    from lab import Experiment, Study
    from lab.registry.plugins import load_catalog
    from lab.study.load import override
    from lab.study.needed import problems_of_runs

    where = _called(pretraining)
    if not callable(pretraining):
        raise LabError(f"a pretraining is a function that returns an experiment, not {type(pretraining).__name__}")
    if pretraining in _being_checked.get():
        raise LabError(f"{where} begins with itself")
    try:
        experiment = pretraining()
    except Exception as error:
        raise LabError(f"{where} fails: {describe_error(error)}") from error
    if not isinstance(experiment, Experiment):
        raise LabError(f"{where} returns {type(experiment).__name__}, not Experiment")
    catalog = load_catalog()
    study = override(Study(experiment, seeds=[seed], name="pretraining"), settings, catalog, where=where)
    token = _being_checked.set((*_being_checked.get(), pretraining))
    try:
        study.resolve(
            catalog, where=where, further=store and (lambda arm, components: problems_of_runs(components, store))
        )
    finally:
        _being_checked.reset(token)
    return study


def _called(pretraining: Callable[[], Experiment]) -> str:
    return f"the pretraining '{getattr(pretraining, '__name__', type(pretraining).__name__)}'"


class _Told:
    """Listener that says when a pretraining begins, and its scores after every epoch."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._epoch = say, -1.0

    def run_started(self, run: Run) -> None:
        self._say(f"pretraining · seed {run.seed} · is trained first, as run {run.key}")

    def run_waits(self, run: Run) -> None:
        self._say(f"pretraining · seed {run.seed} · waits for another process that trains run {run.key}")

    def run_advanced(self, run: Run, progress: RunProgress) -> None:
        row = progress.row
        if row is not None and row["epoch"] != self._epoch:
            self._epoch = row["epoch"]
            self._say(f"pretraining · seed {run.seed} · {describe_epoch(row)}")

    def run_finished(self, run: Run, record: RunRecord) -> None:
        """Say nothing: the study tells of a failure itself."""


class BodyFrom(FromRun):
    """Begin with the weights that a model of another run has learned, without its last layer if the classes differ.

    A model with a ``body``, such as ``transfer``, ``logits_head``, ``fcn`` or ``style_picture``, takes the weights for
    that; any other model for itself. Both must have the same architecture, but for a last layer ``fc`` or ``output``:
    where it is for other classes it keeps its initial weights, which is logged. Of the run's model, either the whole or
    its ``body`` must fit. A model to which weights are not all has a method ``take_body(source, data)``, which is given
    the trained model and the data, and returns how many numbers it took.

    Name the run by its key, or give the experiment of the pretraining: it is trained once in the same folder of runs,
    before the first run that needs it, and found by all others.

    Args:
        run: key of a finished run, or its first digits.
        pretraining: a function without parameters that returns the experiment to train first, instead of ``run``.
        settings: changes of the pretraining, written as after ``--set``: ``["epochs=1"]``.
        seed: of the pretraining; None is the seed of the run, so that every seed has a net of its own.
        runs: folder of runs; None for that of this run.

    Raises:
        ParameterError: neither or both of ``run`` and ``pretraining`` are given, or ``settings`` without the latter.
        StudyError: the pretraining has no such settings.
        LabError: the run is gone or not finished, or its model is of another architecture.
    """

    def take(self, learner: Learner, source: Learner) -> None:
        model: Any = learner.model
        kept: list[str] = []
        if callable(getattr(model, "take_body", None)):
            count = model.take_body(source.model, learner.data)
        else:
            body = getattr(model, "body", None)
            count, kept = copy_body(body if isinstance(body, nn.Module) else model, source.model)
        layer = f"; {', '.join(kept)} is for other classes and keeps its initial weights" if kept else ""
        learner.say(f"body_from: {count:,} numbers of a {type(source.model).__name__}{layer}")


@torch.no_grad()
def copy_body(body: nn.Module, source: nn.Module) -> tuple[int, list[str]]:
    """Copy the weights of a trained model, or of its ``body``, into ``body``; a last layer for other classes stays.

    Returns:
        How many numbers were copied, and the names of last layers that keep theirs.

    Raises:
        LabError: neither has all the weights in the same sizes; nothing was copied.
    """
    here = body.state_dict()
    # A detector or a model of masks has a body of its own.
    candidates = [each for each in (source, getattr(source, "body", None)) if isinstance(each, nn.Module)]
    problems: list[list[str]] = []
    for candidate in candidates:
        there = candidate.state_dict()
        kept = [name for name in OUTPUTS if not _same_sizes(name, here, there)]
        wanted = {name: value for name, value in here.items() if name.partition(".")[0] not in kept}
        problems.append(_unlike(wanted, there))
        if not problems[-1]:
            body.load_state_dict({name: there[name] for name in wanted}, strict=False)
            return sum(value.numel() for value in wanted.values()), kept
    raise LabError(
        f"the {type(body).__name__} cannot begin with the weights of a {type(source).__name__}",
        where="callback 'body_from'",
        hint="\n".join(min(problems, key=len)[:MAX_LINES]) + "\ngive it the architecture of the run: lab runs show KEY",
    )


def _same_sizes(layer: str, here: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> bool:
    """Return whether a layer that ``here`` has is in ``there`` with the same sizes; True if ``here`` has no such."""
    own = {name: value for name, value in here.items() if name.partition(".")[0] == layer}
    return all(name in there and there[name].shape == value.shape for name, value in own.items())


def _unlike(here: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> list[str]:
    """Return sentences on weights that are in one alone, or in other sizes; a last layer of ``there`` may be left."""
    lines = [] if here else ["it has no weights but its last layer"]
    for name, value in here.items():
        if name not in there:
            lines.append(f"the run has no weights '{name}'")
        elif there[name].shape != value.shape:
            lines.append(f"'{name}' is {tuple(there[name].shape)} there and {tuple(value.shape)} here")
    left = [name for name in there if name not in here and name.partition(".")[0] not in OUTPUTS]
    return [*lines, *(f"the run has weights '{name}' that are not here" for name in left)]
