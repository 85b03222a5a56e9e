"""Building a run again from its record: to load what it learned, or to train it again and compare."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import distributed

from lab.errors import LabError, StoreError
from lab.registry.component import Use
from lab.registry.plugins import Catalog, load_catalog
from lab.study.build import DataCache
from lab.study.environment import environment
from lab.study.experiment import Experiment, checked
from lab.study.keys import key_of
from lab.study.load import load_study
from lab.study.record import experiment_from_json
from lab.study.run import Listener, Run
from lab.study.store import RunRecord, Store
from lab.training.data import Data
from lab.training.learner import Learner
from lab.training.loop import is_timing

__all__ = ["Parting", "Reproduction", "differences", "load", "rebuild_exactly", "rebuild_run", "reproduce"]


@attrs.frozen
class Parting:
    """Where a run trained again parts from its record."""

    epoch: int
    figure: str
    then: float | None
    now: float | None


@attrs.frozen
class Reproduction:
    """What training a run again showed.

    Attributes:
        run: the run.
        differences: what is not as it was: code, data, packages.
        epochs: how many epochs were compared.
        partings: figures that differ, in order; empty means identical.
    """

    run: Run
    differences: list[str]
    epochs: int
    partings: list[Parting]


def load(
    key: str,
    runs: Path | str = "runs",
    *,
    catalog: Catalog | None = None,
    file: Path | None = None,
    data: Data | None = None,
) -> Learner:
    """The trained learner of a finished run.

    Args:
        key: the run's key, or its first few digits.
        runs: the folder of runs.
        catalog: the plugins; all installed ones if None.
        file: the study's file, where the run uses components that are written in it.
        data: what stands for the run's data, where that is not to be read again.

    Raises:
        LabError: there is no such run, it is not finished, or it cannot be built again.
    """
    catalog, store = catalog or load_catalog(), Store(runs)
    record = finished_run(store, key)
    learner = rebuild_run(record.experiment(), store, catalog, file=file, data=data).learner(record.folder)
    learner.load(record.folder / record.result["selected"])
    learner.history = record.history()
    return learner


def rebuild_run(
    content: Mapping[str, Any],
    store: Store,
    catalog: Catalog,
    *,
    file: Path | None = None,
    cache: DataCache | None = None,
    data: Data | None = None,
) -> Run:
    """The run that ``experiment.json`` tells of, with the components that are installed now."""
    experiment = _with_local_components(
        experiment_from_json(content["experiment"]), catalog, file or content.get("file")
    )
    resolved = checked(experiment, catalog)
    data = data or (cache or DataCache()).get(resolved.component("dataset"))
    processes = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    key = key_of(resolved, content["seed"], data.fingerprint, content["device"].partition(":")[0], processes=processes)
    return Run(
        content["study"],
        content["arm"],
        content["seed"],
        key,
        resolved,
        content["device"],
        store,
        catalog,
        data,
        content.get("file", ""),
        processes,
    )


def rebuild_exactly(
    content: Mapping[str, Any],
    store: Store,
    catalog: Catalog,
    *,
    file: Path | None = None,
    cache: DataCache | None = None,
) -> Run:
    """The run that another process asks for, by its record.

    Raises:
        LabError: with what is installed here it would be another one, since code, torch, data or versions of
            components differ; what differs is named.
    """
    run = rebuild_run(content, store, catalog, file=file, cache=cache)
    if run.key != content["key"]:
        found = differences(content, run.record(), words=("asked for", "here"))
        raise LabError(
            "it would train another run than was asked for",
            where="\n".join(found) or "something that its record does not tell",
        )
    return run


def differences(one: Mapping[str, Any], other: Mapping[str, Any], *, words: tuple[str, str]) -> list[str]:
    """In what two records of a run differ that decides its numbers, a line each.

    Args:
        one, other: what ``experiment.json`` says.
        words: what to call them in a line: ``("then", "now")``.
    """
    lines = list(_parted(one.get("torch"), other.get("torch"), "torch", words)) if "torch" in one else []
    lines += [
        f"code of {name}: {'another' if name in other['code'] else 'none'} {words[1]}"
        for name, digest in one.get("code", {}).items()
        if other["code"].get(name) != digest
    ]
    lines += [
        f"{path}: {'another content' if path in other.get('files', {}) else 'no such file'} {words[1]}"
        for path, digest in one.get("files", {}).items()
        if other.get("files", {}).get(path) != digest
    ]
    if one["data"] != other["data"]:
        lines.append(f"data: another content {words[1]}")
    return lines + list(_parted(one["experiment"], other["experiment"], "", words))


def _parted(one: Any, other: Any, path: str, words: tuple[str, str]) -> Iterator[str]:
    """Where two trees of plain values part."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from _parted(one.get(name), other.get(name), f"{path}.{name}" if path else name, words)
    elif one != other:
        yield f"{path}: {one} {words[0]}, {other} {words[1]}"


def reproduce(record: RunRecord, run: Run, listener: Listener, *, anyway: bool = False) -> Reproduction:
    """Train a finished run again, elsewhere and with as many threads as then, and compare every figure of every epoch.

    Args:
        record: the run as it was recorded.
        run: the same, rebuilt with what is installed now.
        listener: told of progress.
        anyway: train although something differs.

    Raises:
        LabError: code, data or packages are not as they were; ``anyway`` goes on all the same.
    """
    torch.set_num_threads(record.environment()["machine"]["threads"])
    differences = _differences(record, run)
    if differences and not anyway:
        raise LabError(
            f"run {record.key} cannot be reproduced as it was",
            where="\n".join(differences),
            hint="--anyway trains it all the same and shows what comes out",
        )
    with tempfile.TemporaryDirectory(dir=run.store.folder, prefix=".reproduce-") as folder:
        again = attrs.evolve(run, store=Store(folder))
        trained = again.execute(listener, threading.Event())
        if trained.status != "finished":
            raise LabError(f"run {record.key} failed this time", where=trained.result.get("error", ""))
        history = trained.history()
    return Reproduction(run, differences, len(history), _partings(record.history(), history))


def finished_run(store: Store, key: str) -> RunRecord:
    """The record of a finished run, by the first digits of its key.

    Raises:
        LabError: there is none, there are several, or it is not finished.
    """
    record = store.find(key)
    if record.status != "finished":
        raise StoreError(f"run {record.key} is not finished ({record.status})", hint="run its study again to finish it")
    return record


def _with_local_components(experiment: Experiment, catalog: Catalog, file: Path | str | None) -> Experiment:
    """The experiment with the components that are written in a study file taken from that file."""
    wanted = [use for use in _uses(experiment) if isinstance(use.target, str) and _is_local(use.target)]
    if not wanted:
        return experiment
    if not file or not Path(file).is_file():
        names = ", ".join(sorted({str(use.target) for use in wanted}))
        raise LabError(
            "this run uses components that are written in its study file",
            where=names,
            hint="give the file: --file STUDY.py",
        )
    study = load_study(file, catalog)
    found = {
        component.name: component.factory
        for arm in study.resolve(catalog)
        for component in arm.experiment.all_components()
        if component.plugin == "local"
    }
    return _map_uses(experiment, lambda use: _local(use, found, file))


def _local(use: Use, found: Mapping[str, Callable[..., Any]], file: Path | str) -> Use:
    if not isinstance(use.target, str) or not _is_local(use.target):
        return use
    if use.target not in found:
        raise LabError(f"'{use.target}' is not in this study file, or it has changed since", where=str(file))
    return Use(found[use.target], use.params)


def _is_local(name: str) -> bool:
    """Whether a recorded name is no registered one but where a definition is from: ``file.py:Model#hash``."""
    return ":" in name


def _uses(experiment: Experiment) -> list[Use]:
    found: list[Use] = []

    def keep(use: Use) -> Use:
        found.append(use)
        return use

    _map_uses(experiment, keep)
    return found


def _map_uses(experiment: Experiment, change: Callable[[Use], Use]) -> Experiment:
    """The experiment with ``change`` applied to every component, inner ones first."""

    def mapped(value: Any) -> Any:
        if isinstance(value, Use):
            return change(Use(value.target, {name: mapped(item) for name, item in value.params.items()}))
        if isinstance(value, (list, tuple)):
            return type(value)(mapped(item) for item in value)
        return value

    changed: dict[str, Any] = {
        field.name: mapped(getattr(experiment, field.name)) for field in attrs.fields(Experiment)
    }
    return attrs.evolve(experiment, **changed)


def _differences(record: RunRecord, run: Run) -> list[str]:
    """What is not as it was when the run was recorded, one line each."""
    words = ("then", "now")
    then, now = record.environment().get("packages", {}), environment(run.catalog, run.device)["packages"]
    packages = {name: now.get(name) for name in then}
    lines = differences(record.experiment(), run.record(), words=words) + list(_parted(then, packages, "", words))
    return list(dict.fromkeys(lines))


def _partings(then: list[dict[str, float]], now: list[dict[str, float]]) -> list[Parting]:
    found: list[Parting] = []
    nothing: dict[str, float] = {}
    for epoch, (old, new) in enumerate(zip_longest(then, now, fillvalue=nothing)):
        names = [name for name in dict.fromkeys([*old, *new]) if not is_timing(name)]
        found += [
            Parting(epoch, name, old.get(name), new.get(name))
            for name in names
            if not _same(old.get(name), new.get(name))
        ]
    return found


def _same(one: float | None, other: float | None) -> bool:
    """Equal to the last bit; NaN equals NaN."""
    return one == other or (one != one and other != other)
