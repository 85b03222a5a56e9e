"""Rebuilding a run from its record: to load its weights, or to train it again and compare."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import distributed

from lab.errors import LabError, StoreError
from lab.registry.component import Use
from lab.registry.definition import origin_of
from lab.registry.places import is_notebook
from lab.registry.plugins import Catalog, load_catalog
from lab.registry.resolved import Component
from lab.registry.value_types import replace_unread, unread_in
from lab.registry.values import to_plain
from lab.study.build import DataCache, data_of
from lab.study.environment import environment
from lab.study.experiment import TASK, Experiment, Task, checked
from lab.study.former import with_current_names
from lab.study.keys import key_of
from lab.study.load import load_study
from lab.study.packages import DECIDING_PACKAGES
from lab.study.record import experiment_from_json
from lab.study.run import LAST, Listener, Run
from lab.study.sources import find_study, refuse_in_store, stored_study
from lab.study.space import Options
from lab.study.store import RunRecord, Store, finished_run
from lab.study.workspace import Workspace
from lab.training.checkpoint import BEST
from lab.training.data import Data
from lab.training.learner import Learner
from lab.training.loop import is_timing

__all__ = [
    "Mismatch",
    "Reproduction",
    "differences",
    "finished_run",
    "load",
    "rebuild_exactly",
    "rebuild_run",
    "recorded_experiment",
    "reproduce",
    "study_source",
]

NOTEBOOK = "__main__:"
"""Beginning of the names of what a notebook's cells define."""

HASH = re.compile(r"#[0-9a-f]{6,64}\b")

MAX_THREADS = 4096


@attrs.frozen
class Mismatch:
    """A value in which a run trained again differs from its record; ``epoch`` is None for a final metric."""

    epoch: int | None
    metric: str
    then: float | None
    now: float | None


@attrs.frozen
class Reproduction:
    """Comparison of a run with its repetition.

    Attributes:
        run: the run.
        differences: code, data and packages that changed.
        epochs: how many epochs were compared.
        mismatches: metrics that differ, in order.
        weights: a line for each tensor, or file of them, that differs.
        damage: files of the record that are not as they were written.
        notes: what could not be compared.
    """

    run: Run
    differences: list[str]
    epochs: int
    mismatches: list[Mismatch]
    weights: list[str] = attrs.Factory(list)
    damage: list[str] = attrs.Factory(list)
    notes: list[str] = attrs.Factory(list)

    @property
    def is_identical(self) -> bool:
        """True if every recorded value was reproduced."""
        return not (self.mismatches or self.weights or self.damage)


def load(
    key: str,
    runs: Path | str = "runs",
    *,
    catalog: Catalog | None = None,
    file: Path | str | None = None,
    data: Data | None = None,
    anyway: bool = False,
    stored_source: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Learner:
    """Return the trained learner of a finished run; training it further leaves the run as it is.

    Args:
        key: the run's key, or its first few digits.
        runs: the folder of runs.
        catalog: the plugins; all installed ones if None.
        file: the study's file, where the run uses components that are written in it. It need not be given for a file
            that the same user ran on this machine and that did not change since.
        data: used in place of the run's own data.
        anyway: load although code, data or packages are not as they were; every difference is passed to ``warn``.
        stored_source: import the study's file as the run keeps it: code that comes with the store.
        warn: called with each difference; issues a Python warning by default.

    Raises:
        LabError: there is no such run, it is not finished, it cannot be built again, or code, data or packages are not
            as they were.
    """
    catalog, store = catalog or load_catalog(), Store(runs)
    record = finished_run(store, key)
    if TASK in record.experiment()["experiment"]:
        raise LabError(
            f"run {record.key} is of a training function, which has no learner to load",
            where=str(record.folder),
            hint="what the function left lies there",
        )
    source = study_source(record, file, stored_source=stored_source)
    run = rebuild_run(record.experiment(), store, catalog, source=source, data=data, anyway=anyway)
    found = _differences(record, run, has_own_data=data is not None)
    if found and not anyway:
        raise LabError(
            f"run {record.key} was made with different code, data or packages",
            where="\n".join(found),
            hint="--anyway (anyway=True) loads it all the same",
        )
    for line in found:
        (warn or _warn)(f"run {record.key} differs: {line}")
    learner = run.learner(record.folder)
    learner.finished_folder = learner.folder
    learner.load(record.path(_selected(record)))
    learner.history = record.history()
    return learner


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def _selected(record: RunRecord) -> str:
    # a fixed list: the name comes from a store and becomes a path
    name = record.result.get("selected")
    if name not in (BEST, LAST):
        raise StoreError(f"run {record.key} has no weights to load", where=f"it selected {name!r}")
    return str(name)


def study_source(record: RunRecord, file: Path | str | None, *, stored_source: bool) -> Callable[[], Path | None]:
    """Return a function that finds the study file of a run, called only if a component needs it.

    Args:
        record: the run, which comes from a store and is not trusted.
        file: the file that the user named.
        stored_source: whether the user asks for the sources that the run keeps.

    Raises:
        LabError: ``file`` lies in a store.
    """
    if file is not None:
        refuse_in_store(file)
        return lambda: Path(file)
    if stored_source:
        return lambda: stored_study(record.folder)
    return lambda: find_study(record.experiment(strict=False))


def _given(file: Path | str | None) -> Path | None:
    return Path(file) if file else None


def _nowhere() -> Path | None:
    return None


def rebuild_run(
    content: Mapping[str, Any],
    store: Store,
    catalog: Catalog,
    *,
    source: Callable[[], Path | None] = _nowhere,
    cache: DataCache | None = None,
    data: Data | None = None,
    anyway: bool = False,
) -> Run:
    """Return the run that ``experiment.json`` describes, with the components that are installed now.

    Args:
        content: content of ``experiment.json``; its names are looked up in registries and in the study file only.
        store, catalog: runs and plugins.
        source: finds the study file, if the run uses components that are written in it. The record's own ``file`` is
            never imported.
        cache: data that was built before.
        data: used in place of the run's own data.
        anyway: take a component of the study file by its name though its source is another.

    Raises:
        LabError: a component, or the plugin that it came from, is missing.
    """
    content = with_current_names(content, catalog)
    experiment, file = recorded_experiment(content, catalog, source=source, anyway=anyway)
    resolved = checked(experiment, catalog)
    data = data or data_of(resolved, cache or DataCache())
    processes = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    kind = content["device"].partition(":")[0]
    key = key_of(resolved, content["seed"], data.fingerprint, kind, processes=processes, catalog=catalog)
    return Run(
        content["study"],
        content["arm"],
        content["seed"],
        key,
        resolved,
        Workspace(catalog, store, content["device"]),
        data,
        str(file or content.get("file", "")),
        processes,
        str(content.get("compare", "")),
        dict(content.get("directions", {})),
    )


def recorded_experiment(
    content: Mapping[str, Any],
    catalog: Catalog,
    *,
    source: Callable[[], Path | None] = _nowhere,
    anyway: bool = False,
) -> tuple[Experiment | Task, Path | None]:
    """Return the experiment that ``experiment.json`` describes, and the study file if the run needs it.

    Args:
        content, catalog, source, anyway: as in ``rebuild_run``.

    Raises:
        LabError: a component, or the plugin that it came from, is missing.
    """
    # former names first: everything below compares with today's registries
    content = with_current_names(content, catalog)
    # before components are resolved: a missing plugin would show as an unknown name, without the plugin to install
    _check_plugins(content["experiment"], catalog)
    is_hooked = bool((content.get("key_content") or {}).get("hooks"))
    recorded = experiment_from_json(content["experiment"])
    return _with_local_components(recorded, catalog, source, anyway, is_hooked=is_hooked)


def _check_plugins(experiment: Mapping[str, Any], catalog: Catalog) -> None:
    """Raise if a plugin that supplied a component is missing.

    Raises:
        LabError: every such component, with the name and version of its plugin.
    """
    problems = []
    for name, owner in dict.fromkeys(_suppliers(experiment)):
        plugin = catalog.plugins.get(owner.partition(" ")[0])
        if plugin is None:
            problems.append(f"component '{name}' came from {owner}, which is not installed")
        elif plugin.status != "loaded":
            problems.append(f"component '{name}' came from {owner}, which is {plugin.status}")
    if problems:
        raise LabError(
            "this run cannot be built again", where="\n".join(problems), hint="lab plugins lists what is here"
        )


def _suppliers(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and plugin of each component that did not come from a study file."""
    if isinstance(value, Mapping):
        owner = value.get("plugin")
        if "component" in value and isinstance(owner, str) and owner not in ("", "local"):
            yield str(value["component"]), owner
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _suppliers(item)


def rebuild_exactly(
    content: Mapping[str, Any],
    store: Store,
    catalog: Catalog,
    *,
    file: Path | None = None,
    cache: DataCache | None = None,
) -> Run:
    """Return the run that another process requests, from its record.

    Raises:
        LabError: its key would be different here, since code, torch, data or versions of components differ; the
            differences are listed.
    """
    # trusted: the record comes from the process that started this one, not from a store
    given = file or content.get("file")
    source = partial(_given, given)
    # the hashes of definitions need not match by name: the key, which covers them, is compared below
    # silent: that process read the same data, and has logged what is odd about it
    cache = cache or DataCache(silent=True)
    run = rebuild_run(content, store, catalog, source=source, cache=cache, anyway=True)
    if run.key != content["key"]:
        found = differences(content, run.record(), words=("asked for", "here"))
        raise LabError(
            "this machine would compute a different run key",
            where="\n".join(found) or "an input that its record does not list",
            hint="if a file was changed since the study began, give the same command again",
        )
    return run


def differences(one: Mapping[str, Any], other: Mapping[str, Any], *, words: tuple[str, str]) -> list[str]:
    """Return the differences between two records of a run that affect its numbers, one line each.

    Args:
        one, other: contents of ``experiment.json``.
        words: what to call them in a line: ``("then", "now")``.
    """
    lines = list(_diff(one.get("torch"), other.get("torch"), "torch", words)) if "torch" in one else []
    for name, then, now in _pairs(one, other, "code"):
        if then != now and then is not None:
            lines.append(f"code of {name}: {'none' if now is None else 'another'} {words[1]}")
    for name, then, now in _pairs(one, other, "files"):
        if then != now and then is not None:
            lines.append(f"{name}: {'no such file' if now is None else 'another content'} {words[1]}")
    if one["data"] != other["data"]:
        lines.append(f"data: another content {words[1]}")
    # a record of an older version, which held no key content
    if "key_content" not in one or "key_content" not in other:
        return lines + list(_diff(one["experiment"], other["experiment"], "", words))
    decides, decides_now = one["key_content"], other["key_content"]
    # the code that differs is listed already; the hashes of components differ with it
    if lines:
        decides, decides_now = _without_hashes(decides), _without_hashes(decides_now)
    for part in ("experiment", "packages", "variables", "state", "hooks", "seed", "device", "processes"):
        label = "" if part in ("experiment", "packages") else part
        lines += _diff(decides.get(part), decides_now.get(part), label, words)
    return list(dict.fromkeys(lines))


def _without_hashes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_hashes(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_hashes(item) for item in value]
    return HASH.sub("", value) if isinstance(value, str) else value


def _pairs(one: Mapping[str, Any], other: Mapping[str, Any], part: str) -> Iterator[tuple[str, Any, Any]]:
    """Return name, value in one record and value in the other, for the names in either."""
    then, now = one.get(part, {}), other.get(part, {})
    return ((name, then.get(name), now.get(name)) for name in dict.fromkeys([*then, *now]))


def _diff(one: Any, other: Any, path: str, words: tuple[str, str]) -> Iterator[str]:
    """Yield the places where two trees of plain values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from _diff(one.get(name), other.get(name), f"{path}.{name}" if path else name, words)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (then, now) in enumerate(zip(one, other, strict=True)):
            yield from _diff(then, now, path if len(one) == 1 else f"{path}[{index}]", words)
    elif one != other:
        yield f"{path}: {one} {words[0]}, {other} {words[1]}"


def reproduce(record: RunRecord, run: Run, listener: Listener, *, anyway: bool = False) -> Reproduction:
    """Train a finished run again, in a temporary folder and with the same number of threads, and compare all results.

    Compares every metric of every epoch, the final metrics, including those of the test split, and the weights.

    Args:
        record: the run as it was recorded.
        run: the same, rebuilt with what is installed now.
        listener: receives progress updates.
        anyway: train although something differs.

    Raises:
        LabError: code, data or packages are not as they were; ``anyway`` goes on all the same.
    """
    notes: list[str] = []
    _set_threads(record, notes)
    differences = _differences(record, run, notes=notes)
    if differences and not anyway:
        raise LabError(
            f"run {record.key} cannot be reproduced as it was",
            where="\n".join(differences),
            hint="--anyway trains it all the same and shows what comes out",
        )
    # on the store's own disk, since /tmp may be too small for a checkpoint; a read-only store is reproduced in /tmp
    place = run.store.folder if os.access(run.store.folder, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix=".reproduce-") as folder:
        again = attrs.evolve(run, workspace=attrs.evolve(run.workspace, store=Store(folder)))
        trained = again.execute(listener, threading.Event())
        if trained.status != "finished":
            raise LabError(f"run {record.key} failed this time", where=trained.result.get("error", ""))
        history = trained.history()
        mismatches = _compare_metrics(record, trained, notes)
        weights = _compare_weights(record.folder, trained.folder, notes)
    damage = [record.result["error"]] if record.status == "damaged" else []
    return Reproduction(run, differences, len(history), mismatches, weights, damage, list(dict.fromkeys(notes)))


def _set_threads(record: RunRecord, notes: list[str]) -> None:
    """Set the recorded number of threads: with another one, sums are added in another order."""
    machine = _environment_of(record, notes).get("machine", {})
    threads = machine.get("threads")
    # the record comes from a store: a number in the millions would make OpenMP abort the process
    if isinstance(threads, int) and 1 <= threads <= MAX_THREADS:
        torch.set_num_threads(threads)
    elif machine:
        notes.append("environment.json does not record the number of threads")


def _environment_of(record: RunRecord, notes: list[str]) -> dict[str, Any]:
    try:
        return record.environment(strict=False)
    except StoreError as error:
        notes.append(f"{error.what}; packages and threads cannot be compared")
        return {}


def _compare_metrics(record: RunRecord, trained: RunRecord, notes: list[str]) -> list[Mismatch]:
    found: list[Mismatch] = []
    try:
        found += _history_mismatches(record.history(), trained.history())
    except StoreError as error:
        notes.append(f"{error.what}; epochs cannot be compared")
    try:
        found += _metric_mismatches(None, record.final(), trained.metrics)
    except StoreError as error:
        notes.append(f"{error.what}; final metrics cannot be compared")
    return found


def _compare_weights(then: Path, now: Path, notes: list[str]) -> list[str]:
    """Return a line for every tensor that differs, in the weights of the last and of the best epoch."""
    from safetensors import SafetensorError

    found: list[str] = []
    for name in (LAST, BEST):
        one, other = then / name, now / name
        if not (other.is_file() or os.path.lexists(one)):
            continue
        if not os.path.lexists(one):
            notes.append(f"{name} is not kept, so weights cannot be compared")
        # a link could point to the weights that were just trained, which would always be identical
        elif one.is_symlink() or not one.is_file():
            found.append(f"{name}: not a file of the run's folder")
        elif not other.is_file():
            found.append(f"{name}: not made this time")
        else:
            try:
                found += [f"{name}: {line}" for line in _different_tensors(one, other)]
            except (OSError, SafetensorError) as error:
                found.append(f"{name}: cannot be read: {error}")
    return found


def _different_tensors(one: Path, other: Path) -> Iterator[str]:
    from safetensors import safe_open

    with safe_open(one, framework="pt") as then, safe_open(other, framework="pt") as now:
        # tensor by tensor: comparing the files would report only that they differ, and load both whole
        names, names_now = set(then.keys()), set(now.keys())
        yield from (f"{name} is only then" for name in sorted(names - names_now))
        yield from (f"{name} is only now" for name in sorted(names_now - names))
        for name in sorted(names & names_now):
            if not _same_bits(then.get_tensor(name), now.get_tensor(name)):
                yield f"{name} differs"


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether tensors are equal bit by bit, so that NaN equals NaN."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def _with_local_components(
    experiment: Experiment | Task,
    catalog: Catalog,
    source: Callable[[], Path | None],
    anyway: bool,
    *,
    is_hooked: bool = False,
) -> tuple[Experiment | Task, Path | None]:
    """Return the experiment with its local components taken from the study file, and that file.

    A file whose hooks run before training is loaded too.
    """
    experiment = _map_uses(experiment, lambda use: _of_notebook(use, anyway))
    wanted = [use for use in _uses(experiment) if isinstance(use.target, str) and _is_local(use.target)]
    unread = list(_unread(experiment))
    if not wanted and not is_hooked and not unread:
        return experiment, None
    names = ", ".join(sorted({str(use.target) for use in wanted}))
    if any(str(use.target).startswith(NOTEBOOK) for use in wanted):
        raise LabError(
            "this run uses components that are defined in a notebook, which no other process can build",
            where=names,
            hint="write them in a file beside the notebook and import it, or train in the notebook's own process",
        )
    file = source()
    if file is None or not file.is_file():
        places = "\n".join([*([names] if wanted else []), *unread])
        raise LabError(
            "this run uses components or values that are written in its study file",
            where=places if file is None else f"{places}\nthere is no file {file}",
            hint="give the file: --file STUDY.py\nor --stored-source imports what the run keeps: code that comes with "
            "the store",
        )
    study = load_study(file, catalog)
    components = [component for arm in study.resolve(catalog) for component in arm.experiment.all_components()]
    if study.searching is not None:
        options = [choice.values for choice in study.searching.space.values() if isinstance(choice, Options)]
    else:
        options = []
    values = _by_text([*(component.params for component in components), *options], anyway=anyway)
    experiment = _map_uses(experiment, lambda use: _with_values(use, values, anyway=anyway))
    found = {component.name: component.factory for component in components if component.plugin == "local"}
    # matched without the file's name too: a study file may be renamed
    forms = {_definition(name): factory for name, factory in found.items()}
    if anyway:
        # exact matches win over names without a hash
        forms = {**{name.partition("#")[0]: factory for name, factory in forms.items()}, **forms}
    return _map_uses(experiment, lambda use: _local(use, {**forms, **found}, file, anyway)), file


def _unread(experiment: Experiment | Task) -> Iterator[str]:
    """Yield parameters whose values the record does not give back, as ``Net.act: functions:gelu``.

    One that has its parameter's default is left out: the default is at hand.
    """
    for each in _uses(experiment):
        for name, value in each.params.items():
            texts = [str(found).partition("#")[0] for found in unread_in(value) if not found.is_default]
            yield from (f"{each.name.partition('#')[0]}.{name}: {text}" for text in texts)


def _by_text(holders: Iterable[Mapping[str, Any]], *, anyway: bool) -> dict[str, Any]:
    """Return text of the JSON → value, for the values in parameters and in lists and dictionaries there."""
    found: dict[str, Any] = {}

    def add(value: Any) -> None:
        if isinstance(value, (Component, Use)):
            return
        with suppress(TypeError):
            found[_text_of(to_plain(value), anyway=anyway)] = value
        for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ():
            add(item)

    for holder in holders:
        for value in holder.values():
            add(value)
    return found


def _with_values(use: Use, values: Mapping[str, Any], *, anyway: bool) -> Use:
    """Return a component whose unread values are those of the study file, as far as that has them."""
    params = {
        name: replace_unread(value, lambda unread: values.get(_text_of(unread.plain, anyway=anyway), unread))
        for name, value in use.params.items()
    }
    return Use(use.target, params)


def _text_of(plain: Any, *, anyway: bool) -> str:
    """Return the text of a value in JSON, without the names of study files, and with hashes unless ``anyway``."""
    text = re.sub(r'"[^":]*\.py:', '"', json.dumps(plain, sort_keys=True))
    return HASH.sub("", text) if anyway else text


def _of_notebook(use: Use, anyway: bool) -> Use:
    """Return a component that was defined in a cell of this notebook as it is there now.

    Raises:
        LabError: its cell was not run yet, or differs from the one of the run.
    """
    if not isinstance(use.target, str) or not use.target.startswith(NOTEBOOK) or not is_notebook():
        return use
    name = use.target.removeprefix(NOTEBOOK).partition("#")[0]
    found = vars(sys.modules["__main__"]).get(name)
    # nothing that the notebook merely imported: the name comes from a store
    is_own = getattr(found, "__module__", None) == "__main__"
    if is_own and callable(found) and (anyway or origin_of(found) == use.target):
        return Use(found, use.params)
    state = "is not what it was in this run: it, or what it reads, has changed" if is_own else "is not defined yet"
    raise LabError(f"'{name}' of this notebook {state}", where=use.target, hint="run its cells as they were, then load")


def _definition(name: str) -> str:
    """Return ``study.py:Net#1f…`` without the name of the file."""
    file, colon, definition = name.partition(":")
    return definition if colon and file.endswith(".py") else name


def _local(use: Use, found: Mapping[str, Callable[..., Any]], file: Path, anyway: bool) -> Use:
    if not isinstance(use.target, str) or not _is_local(use.target):
        return use
    definition = _definition(use.target)
    for name in (use.target, definition, *([definition.partition("#")[0]] if anyway else [])):
        if name in found:
            return Use(found[name], use.params)
    raise LabError(
        f"'{use.target}' is not in this study file, or it has changed since",
        where=str(file),
        hint="--stored-source imports the file as the run keeps it\n--anyway uses the file as it is now",
    )


def _is_local(name: str) -> bool:
    """Return whether a recorded name denotes a definition, ``file.py:Model#hash``, not a registered component."""
    return ":" in name


def _uses(experiment: Experiment | Task) -> list[Use]:
    found: list[Use] = []

    def keep(use: Use) -> Use:
        found.append(use)
        return use

    _map_uses(experiment, keep)
    return found


def _map_uses(experiment: Experiment | Task, change: Callable[[Use], Use]) -> Experiment | Task:
    """Return the experiment with ``change`` applied to every component, inner ones first."""

    def mapped(value: Any) -> Any:
        if isinstance(value, Use):
            return change(Use(value.target, {name: mapped(item) for name, item in value.params.items()}))
        if isinstance(value, (list, tuple)):
            return type(value)(mapped(item) for item in value)
        return value

    changed: dict[str, Any] = {
        field.name: mapped(getattr(experiment, field.name)) for field in attrs.fields(type(experiment))
    }
    return attrs.evolve(experiment, **changed)


def _differences(
    record: RunRecord, run: Run, *, has_own_data: bool = False, notes: list[str] | None = None
) -> list[str]:
    """Return everything that affects numbers and changed since the run was recorded, one line each.

    Args:
        record, run: the run then and now.
        has_own_data: the data was given, so that the files which it was read from need not be there.
        notes: collects what cannot be compared.
    """
    words = ("then", "now")
    then = _environment_of(record, [] if notes is None else notes).get("packages", {})
    now = environment(run.catalog, run.device)["packages"]
    deciding = [name for name in then if name in DECIDING_PACKAGES]
    packages = _diff({name: then[name] for name in deciding}, {name: now.get(name) for name in deciding}, "", words)
    made, made_now = with_current_names(record.experiment(strict=False), run.catalog), run.record()
    if has_own_data:
        made, made_now = _without_reading(made), _without_reading(made_now)
    lines = differences(made, made_now, words=words) + list(packages)
    if not lines and not has_own_data and run.key != record.key:
        lines.append(f"key: {record.key} then, {run.key} now, for a reason the record does not show")
    return list(dict.fromkeys(lines))


def _without_reading(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without the way in which data is read; its fingerprint stays."""
    files = {name: digest for name, digest in made.get("files", {}).items() if not name.startswith("dataset.")}
    changed = {**made, "files": files, "experiment": {**made["experiment"], "dataset": None}}
    if "key_content" in made:
        content = made["key_content"]
        changed["key_content"] = {**content, "experiment": {**content.get("experiment", {}), "dataset": None}}
    return changed


def _history_mismatches(then: list[dict[str, float]], now: list[dict[str, float]]) -> list[Mismatch]:
    nothing: dict[str, float] = {}
    rows = enumerate(zip_longest(then, now, fillvalue=nothing))
    return [mismatch for epoch, (old, new) in rows for mismatch in _metric_mismatches(epoch, old, new)]


def _metric_mismatches(epoch: int | None, old: Mapping[str, float], new: Mapping[str, float]) -> list[Mismatch]:
    names = [name for name in dict.fromkeys([*old, *new]) if not is_timing(name)]
    return [
        Mismatch(epoch, name, old.get(name), new.get(name)) for name in names if not _same(old.get(name), new.get(name))
    ]


def _same(one: float | None, other: float | None) -> bool:
    """Return whether values are equal to the last bit; NaN equals NaN."""
    return one == other or (one != one and other != other)
