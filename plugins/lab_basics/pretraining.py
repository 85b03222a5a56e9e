"""Base class of callbacks that take weights from another run, which is trained first if it is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, ParameterError, StudyError
from lab.training.callback import Callback
from lab.training.rng import global_random_state, set_global_random_state

if TYPE_CHECKING:
    from lab import Experiment, Study
    from lab.study.store import Store
    from lab.training import Learner

__all__ = ["FromRun"]


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
        """Raise if the run is not there or not finished; a plan calls it before it reads data."""
        from lab.study.needed import check_run

        check_run(params, store)

    def take(self, learner: Learner, source: Learner) -> None:
        """Copy what is needed from the trained ``source`` into ``learner``."""
        raise NotImplementedError

    def check(self, learner: Learner) -> None:  # type: ignore[override]
        if self.settings:
            self._study(0)
        folder = self._folder(learner)
        # Without a folder of runs, as in a plan, this is told when training starts.
        if self.run and folder is not None:
            from lab.study.rebuild import finished_run
            from lab.study.store import Store

            finished_run(Store(folder), self.run)

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
            source = load(self.run or self._pretrained(folder, seed), folder)
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
        from lab import Study

        assert self.pretraining is not None
        study = Study(self.pretraining(), seeds=[seed], name="pretraining")
        if not self.settings:
            return study
        from lab.registry.plugins import load_catalog
        from lab.study.load import override

        catalog, where = load_catalog(), f"callback '{self.name}', settings"
        study = override(study, self.settings, catalog, where=where)
        if problems := study.problems(catalog):
            raise StudyError(problems, where=where)
        return study

    def _pretrained(self, folder: Path, seed: int) -> str:
        """Return the key of the pretraining, which is trained unless it is found."""
        [run] = self._study(seed).run(runs=folder).runs
        if run.status != "finished":
            raise LabError(f"the pretraining {run.status}", where=f"run {run.key}", hint=f"lab runs show {run.key}")
        return str(run.key)
