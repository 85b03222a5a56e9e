"""Completion of a finished run with another metric or another observer than it was trained with.

Neither changes a number of the training, so neither trains it again. Metrics are computed from the weights that the run
left; an observer that acts only when training ends acts now. If the weights do not reproduce the recorded loss (for
example an average of weights that was not kept), the run is trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import LabError
from lab.study.experiment import ResolvedExperiment
from lab.study.keys import metric_identities
from lab.study.store import RunRecord, clear_for_writing
from lab.training.callback import Callback
from lab.training.learner import Learner
from lab.training.scoring import directions

__all__ = ["complete", "higher_is_better", "lacks", "observers"]


def lacks(experiment: ResolvedExperiment, record: RunRecord) -> bool:
    """Return whether a finished run has to be evaluated again: a metric is missing, or has changed since."""
    return bool(_missing_metrics(experiment, record)) or bool(_late_observers(experiment, record))


def observers(experiment: ResolvedExperiment) -> list[str]:
    """Return the names of the observers among the callbacks."""
    return [c.alias for c in experiment.components("callbacks") if getattr(c.factory, "observer", False)]


def complete(learner: Learner, experiment: ResolvedExperiment, record: RunRecord) -> dict[str, Any] | None:
    """Return the result of a finished run with its missing metrics; None if its weights do not reproduce its loss.

    Args:
        learner: of the run, not trained.
        experiment: the experiment as requested now.
        record: the finished run.

    Raises:
        LabError: a metric cannot be computed.
    """
    learner.history = record.history()
    late = _late_observers(experiment, record)
    try:
        # an observer writes into the run's folder now; a link there may lead anywhere
        clear_for_writing(record.folder)
        learner.load(record.path("model.safetensors"))
        # observers see the weights of the last epoch, as they do after a real fit; metrics use the selected ones
        _let_observe(learner, experiment, late)
        learner.load(record.path(str(record.result.get("selected"))))
    except (LabError, OSError):
        return None
    found: dict[str, float] = {}
    for split in ("valid", "test"):
        if getattr(learner.data, split) is not None and f"{split}_loss" in record.metrics:
            found |= learner.validate(split)
            # exact equality, not closeness: anything else means that other weights are being scored (e.g. an average
            # that was not kept)
            if found[f"{split}_loss"] != record.metrics[f"{split}_loss"]:
                return None
    missing = _missing_metrics(experiment, record)
    result = record.result
    return {
        **result,
        "metrics": record.metrics | {n: value for n, value in found.items() if n.partition("_")[2] in missing},
        "higher_is_better": {**result.get("higher_is_better", {}), **higher_is_better(learner)},
        "undefined": {**result.get("undefined", {}), **learner.undefined},
        "evaluated": {**result.get("evaluated", {}), **metric_identities(experiment)},
        "observers": sorted({*result.get("observers", []), *late}),
    }


def _missing_metrics(experiment: ResolvedExperiment, record: RunRecord) -> set[str]:
    """Return metrics that a record lacks or computed with another definition; old records hold names only."""
    if not experiment.components("metrics"):
        return set()
    known: Mapping[str, str] | None = record.result.get("evaluated")
    if known is None:
        names = {component.alias for component in experiment.components("metrics")}
        return {name for name in names if f"valid_{name}" not in record.metrics}
    wanted = metric_identities(experiment)
    return {name for name, identity in wanted.items() if known.get(name) != identity}


def _late_observers(experiment: ResolvedExperiment, record: RunRecord) -> list[str]:
    """Return the observers that a run was trained without and that can act afterwards."""
    known = record.result.get("observers")
    # records of older versions do not list observers; running them again could duplicate what they wrote
    if known is None:
        return []
    factories = {component.alias: component.factory for component in experiment.components("callbacks")}
    return [name for name in observers(experiment) if name not in known and _acts_at_the_end(factories[name])]


def _acts_at_the_end(kind: Any) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        return False
    if kind.acts_on_finished:
        return True
    own = [name for name in dir(Callback) if name.startswith(("before_", "after_"))]
    handled = {name for name in own if getattr(kind, name) is not getattr(Callback, name)}
    # an observer that counts steps or epochs cannot be given them afterwards, unless it says that the history suffices
    return handled == {"after_fit"}


def _let_observe(learner: Learner, experiment: ResolvedExperiment, names: list[str]) -> None:
    kinds = [component.factory for component in experiment.components("callbacks") if component.alias in names]
    learner.is_finished = True
    for callback in learner.callbacks:
        if type(callback) in kinds:
            callback.after_fit(learner)


def higher_is_better(learner: Learner) -> dict[str, bool]:
    """Return whether higher is better, by the name of a metric and by column; what has no direction is absent."""
    plain = {
        name: metric.higher_is_better
        for name, metric in learner.metrics.items()
        if isinstance(getattr(metric, "higher_is_better", None), bool)
    }
    return {**plain, **directions(learner)}
