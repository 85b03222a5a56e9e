"""A finished run that is asked for more than it was trained with: another metric, another observer.

Neither changes a number of the training, so neither trains it again. Metrics are computed from the weights that the run
left; an observer that acts only when training ends acts now. Where the weights alone do not give the recorded loss (an
average of weights that was not kept, say), the run is trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.study.files import to_standard, write_sealed
from lab.study.keys import metric_identities
from lab.study.store import clear_for_writing
from lab.training.callback import Callback

if TYPE_CHECKING:
    from lab.study.experiment import ResolvedExperiment
    from lab.study.run import Run
    from lab.study.store import RunRecord
    from lab.training.learner import Learner

__all__ = ["complete", "lacks", "observers", "unobserved"]


def lacks(run: Run, record: RunRecord) -> bool:
    """Return whether a finished run has to be evaluated again: a metric is missing, or has changed since."""
    return bool(_missing_metrics(run, record)) or bool(_late_observers(run, record))


def observers(experiment: ResolvedExperiment) -> list[str]:
    """Names of the observers among the callbacks."""
    return [c.alias for c in experiment.components("callbacks") if getattr(c.factory, "observer", False)]


def unobserved(run: Run, record: RunRecord) -> list[str]:
    """Observers that are asked for and that a finished run was trained without; they leave nothing of it."""
    known = record.result.get("observers")
    return [] if known is None else [name for name in observers(run.experiment) if name not in known]


def complete(run: Run, record: RunRecord) -> bool:
    """Add what a finished run lacks; False where its weights do not give its figures, so that it must be trained again.

    Raises:
        LabError: a metric cannot be computed.
    """
    learner = run.learner(record.folder)
    learner.history = record.history()
    try:
        clear_for_writing(record.folder)
        learner.load(record.path("model.safetensors"))
        _let_observe(learner, run, _late_observers(run, record))
        learner.load(record.path(str(record.result.get("selected"))))
    except (LabError, OSError):
        return False
    found: dict[str, float] = {}
    for split in ("valid", "test"):
        if getattr(learner.data, split) is not None and f"{split}_loss" in record.metrics:
            found |= learner.validate(split)
            if found[f"{split}_loss"] != record.metrics[f"{split}_loss"]:
                return False
    missing = _missing_metrics(run, record)
    _write(run, record, {name: value for name, value in found.items() if name.partition("_")[2] in missing}, learner)
    return True


def _missing_metrics(run: Run, record: RunRecord) -> set[str]:
    """Metrics that a record lacks or has from another definition; an old record tells no more than their names."""
    if not run.experiment.components("metrics"):
        return set()
    known: Mapping[str, str] | None = record.result.get("evaluated")
    if known is None:
        names = {component.alias for component in run.experiment.components("metrics")}
        return {name for name in names if f"valid_{name}" not in record.metrics}
    wanted = metric_identities(run.experiment)
    return {name for name, identity in wanted.items() if known.get(name) != identity}


def _late_observers(run: Run, record: RunRecord) -> list[str]:
    """Of the observers that a run was trained without, those that act only before and after the whole fit."""
    factories = {component.alias: component.factory for component in run.experiment.components("callbacks")}
    return [name for name in unobserved(run, record) if _acts_at_the_end(factories[name])]


def _acts_at_the_end(kind: Any) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        return False
    own = [name for name in dir(Callback) if name.startswith(("before_", "after_"))]
    heard = {name for name in own if getattr(kind, name) is not getattr(Callback, name)}
    return heard == {"after_fit"}


def _let_observe(learner: Learner, run: Run, names: list[str]) -> None:
    kinds = [component.factory for component in run.experiment.components("callbacks") if component.alias in names]
    learner.is_finished = True
    for callback in learner.callbacks:
        if type(callback) in kinds:
            callback.after_fit(learner)


def _write(run: Run, record: RunRecord, figures: Mapping[str, float], learner: Learner) -> None:
    from lab.study.run import higher_is_better

    result = dict(record.result)
    result["metrics"] = {**record.metrics, **figures}
    result["higher_is_better"] = {**result.get("higher_is_better", {}), **higher_is_better(learner)}
    result["undefined"] = {**result.get("undefined", {}), **learner.undefined}
    result["evaluated"] = {**result.get("evaluated", {}), **metric_identities(run.experiment)}
    result["observers"] = sorted({*result.get("observers", []), *_late_observers(run, record)})
    write_sealed(record.folder / "experiment.json", to_standard(run.record()))
    write_sealed(record.folder / "result.json", result)
