"""Keys: a hash of everything that determines the numbers of a run.

A key covers the resolved experiment, the seed, the kind of device, the number of processes, the data's fingerprint, the
content of files that components are given, environment variables that they read, the source of every module that they
are made of, and the versions of the libraries that these import. What cannot change a number is left out: observers,
the rhythm of checkpoints, metrics that nothing reads while training, the order of callbacks, names and paths.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import attrs

from lab.cache import cache_folder, file_digest, read_cache, tree_digest, write_cache
from lab.errors import LabError
from lab.registry.closure import Closure, closure_of, with_acting_modules
from lab.registry.definition import modules_of, origin_of, state_digest
from lab.registry.discovery import metadata_folders
from lab.registry.modules import ModuleSource, changed_since_import, facts_of, source_of_file
from lab.registry.places import is_local
from lab.registry.plugins import Catalog
from lab.registry.resolved import Component
from lab.registry.source import save_facts
from lab.registry.value_types import deciding
from lab.study.experiment import ResolvedExperiment

__all__ = [
    "LocalSource",
    "changed_sources",
    "hash_of",
    "key_content",
    "key_of",
    "local_modules",
    "local_sources",
    "metric_identities",
]

T = TypeVar("T")

KERNEL = Path(__file__).parents[1]
FINGERPRINTED_MODULES = (
    "training/callback.py",
    "training/checkpoint.py",
    "training/cpu.py",
    "training/data.py",
    "training/learner.py",
    "training/loop.py",
    "training/means.py",
    "training/rng.py",
    "training/schedules.py",
    "training/state.py",
    "training/stepper.py",
    "training/weights.py",
    "study/build.py",
    "study/run.py",
)
"""Kernel modules that affect numbers; the command line, reports, store and plans do not."""

DISTRIBUTED_MODULES = (
    "training/distributed/collectives.py",
    "training/distributed/ddp.py",
    "training/distributed/fsdp.py",
    "training/distributed/setup.py",
    "training/distributed/single.py",
)
"""Kernel modules that affect numbers only if several processes train a run together."""

TASK_MODULES = ("training/rng.py", "study/task.py")
"""Those that decide numbers where a function of the user's trains."""

MAX_PATH_LENGTH = 4096
MAX_KEPT = 4096


def key_of(
    experiment: ResolvedExperiment,
    seed: int,
    data_fingerprint: str,
    device: str,
    *,
    processes: int = 1,
    catalog: Catalog | None = None,
) -> str:
    """Return the key of a run: the first 20 hexadecimal digits of a sha256 of ``key_content``."""
    return hash_of(key_content(experiment, seed, data_fingerprint, device, processes=processes, catalog=catalog))


def hash_of(content: Mapping[str, Any]) -> str:
    """Return the key of a content."""
    # 80 bits: a million runs collide with a probability of 4e-13
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def key_content(
    experiment: ResolvedExperiment,
    seed: int,
    data_fingerprint: str,
    device: str,
    *,
    processes: int = 1,
    catalog: Catalog | None = None,
) -> dict[str, Any]:
    """Return everything that determines the numbers of a run, as plain JSON; ``lab runs why`` compares two of them.

    Args:
        experiment: the resolved experiment.
        seed: of the run.
        data_fingerprint: of the content of its data.
        device: the kind of device, ``cpu`` or ``cuda``.
        processes: how many processes train the run together.
        catalog: the plugins; a study file's own hooks around its runs are part of the key.

    Raises:
        LabError: a source file was changed after it was imported, and what was imported is not known.
    """
    content = {**_content_of(experiment), "seed": seed, "device": device, "data": data_fingerprint}
    # added only then, so that edits of the distributed modules leave the keys of other runs alone
    if processes > 1:
        content["processes"] = processes
        content["code"] = {**content["code"], "lab, several processes": _fingerprint_of(DISTRIBUTED_MODULES)}
    if catalog is not None and (hooks := _hooks_around_runs(catalog)):
        content["hooks"] = hooks
    return content


def _hooks_around_runs(catalog: Catalog) -> dict[str, str]:
    """Return hook → hash of its source, for hooks of study files that run before training and might change it."""
    found = {}
    for plugin in catalog.plugins.values():
        # hooks of installed plugins observe by contract, and keys must not depend on which are installed
        hook = getattr(plugin.module, "lab_run_started", None) if plugin.is_local else None
        if callable(hook):
            found["lab_run_started"] = origin_of(hook).rpartition("#")[2]
    return found


def _once_per_experiment(find: Callable[[ResolvedExperiment], T]) -> Callable[[ResolvedExperiment], T]:
    """Cache by identity what all seeds of an experiment share; comparing experiments by content costs as much."""
    known: dict[int, tuple[ResolvedExperiment, T]] = {}

    @wraps(find)
    def cached(experiment: ResolvedExperiment) -> T:
        if id(experiment) not in known:
            if len(known) >= MAX_KEPT:
                known.clear()
            # keeps the experiment alive, so that its id is not given to another one
            known[id(experiment)] = (experiment, find(experiment))
        return known[id(experiment)][1]

    return cached


def _deciding_modules(experiment: ResolvedExperiment) -> tuple[str, ...]:
    return FINGERPRINTED_MODULES if experiment.task is None else TASK_MODULES


@_once_per_experiment
def _content_of(experiment: ResolvedExperiment) -> dict[str, Any]:
    """Return the part of the content that all seeds of an experiment share."""
    import torch

    parts = [component for slot in _deciding_slots(experiment).values() for top in slot for component in top.walk()]
    closure = _closure(parts)
    return {
        "experiment": _key_form(experiment),
        "code": {"lab": _fingerprint_of(_deciding_modules(experiment)), **closure.fingerprints()},
        "state": _states(parts),
        "files": _files(experiment),
        "packages": versions_of(closure.packages),
        "variables": {name: _hidden(value) for name, value in closure.environment().items()},
        "torch": torch.__version__,
    }


# --- the recipe -------------------------------------------------------------------------------------------------------


def _deciding_slots(experiment: ResolvedExperiment) -> dict[str, list[Component]]:
    """Return slot → the components in it that may change a number."""
    slots = {name: slot if isinstance(slot, list) else [slot] for name, slot in experiment.slots.items()}
    if experiment.task is not None:
        return slots
    slots["callbacks"] = [component for component in slots["callbacks"] if not _observes(component)]
    if not _metrics_decide(experiment):
        slots["metrics"] = []
    return slots


def _observes(component: Component) -> bool:
    return bool(getattr(component.factory, "observer", False))


def _metrics_decide(experiment: ResolvedExperiment) -> bool:
    """Return whether training may depend on metrics: through a callback, or by selecting weights by one."""
    checkpoint = experiment.component("checkpoint")
    if checkpoint.params.get("select") == "best" and checkpoint.params.get("monitor") != "valid_loss":
        return True
    callbacks = [component for component in experiment.components("callbacks") if not _observes(component)]
    # True unless declared: a user's callback may stop early by any metric
    return any(getattr(component.factory, "reads_metrics", True) for component in callbacks)


def _key_form(experiment: ResolvedExperiment) -> dict[str, Any]:
    slots = {
        # sorted, as build_learner sorts callbacks: their order in a study file changes no number
        name: sorted((_component_form(component) for component in slot), key=_text)
        for name, slot in _deciding_slots(experiment).items()
    }
    whole = experiment.to_json()
    return {**slots, **{name: whole[name] for name in experiment.values}}


def _component_form(component: Component) -> dict[str, Any]:
    """Return a component without versions and file names, and with only the parameters that change numbers."""
    decide = getattr(component.factory, "deciding_parameters", None)
    params = decide(component.params) if callable(decide) else component.params
    form: dict[str, Any] = {
        "component": _name_form(component.name),
        "plugin": component.plugin.partition(" ")[0],
        "params": {name: _value_form(value, writes=_writes(component)) for name, value in params.items()},
    }
    types = {place: tag for place, tag in deciding(component.types).items() if place.partition("/")[0] in params}
    return form | ({"types": types} if types else {})


def _writes(component: Component) -> bool:
    return component.kind == "callbacks"


def _name_form(name: str) -> str:
    """Return ``Net#1f…`` for ``study.py:Net#1f…``: a study file may be renamed."""
    file, colon, definition = name.partition(":")
    return definition if colon and file.endswith(".py") else name


def _value_form(value: Any, *, writes: bool = False) -> Any:
    """Return a value as a key holds it.

    Args:
        value: of a parameter.
        writes: whether its component may write, as callbacks do: what it writes into a folder is no part of a key.
    """
    from lab.registry.values import to_plain

    if isinstance(value, Component):
        return _component_form(value)
    if isinstance(value, (list, tuple)):
        return [_value_form(item, writes=writes) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _value_form(item, writes=writes) for name, item in value.items()}
    path = _existing(value)
    if path is not None and not (writes and path.is_dir()):
        # the file's content is part of "files"; its path is left out, so that data may be moved
        return "(content)"
    try:
        plain = to_plain(value)
    except TypeError:
        # the default of a parameter: the source of its class is part of "code"
        return f"a {type(value).__qualname__}"
    return _name_form(plain) if isinstance(plain, str) and callable(value) else plain


def _existing(value: Any) -> Path | None:
    """Return the file or folder that a path or a text names."""
    if not isinstance(value, (str, Path)) or not str(value) or len(str(value)) > MAX_PATH_LENGTH or "\0" in str(value):
        return None
    path = Path(value)
    try:
        if path.is_file():
            return path
        # a text such as "." or "embedded" is rarely meant as a folder, and hashing the working folder would be slow
        is_meant = isinstance(value, Path) or (os.sep in value and value.strip("./" + os.sep) != "")
        return path if is_meant and path.is_dir() else None
    except (OSError, ValueError):
        return None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


# --- code, files, libraries -------------------------------------------------------------------------------------------


def _closure(parts: Sequence[Component]) -> Closure:
    return closure_of(with_acting_modules(_roots(parts)))


def _roots(parts: Sequence[Component]) -> Mapping[str, frozenset[str]]:
    return modules_of(*(thing for part in parts for thing in _definitions(part)))


def local_modules(parts: Sequence[Component]) -> list[str]:
    """Return the user's modules that components are made of: neither installed nor part of a plugin."""
    roots = _roots(parts)
    # no plugin imports what is the user's
    if not any(map(is_local, roots)):
        return []
    return [name for name, source in closure_of(roots).modules.items() if source.is_local]


def _definitions(part: Component) -> Iterator[Any]:
    """Yield the factory of a component, and the classes and functions among its parameters."""
    yield part.factory
    for value in part.params.values():
        if not isinstance(value, (Component, str, bytes)):
            yield value


def _states(parts: Sequence[Component]) -> dict[str, str]:
    """Return hashes of the state of factories besides their source, such as a partial's arguments."""
    found = {f"{part.kind} {_name_form(part.name)}": state_digest(part.factory) for part in parts}
    return {name: digest for name, digest in found.items() if digest}


def _files(experiment: ResolvedExperiment) -> dict[str, str]:
    """Return where → hash of the content, for every file and folder that a parameter names."""
    found: dict[str, str] = {}
    for slot, tops in _deciding_slots(experiment).items():
        for top in tops:
            found |= _files_of(slot, top)
    return found


def _files_of(slot: str, top: Component) -> dict[str, str]:
    """Return the same for one component and its nested ones."""
    found: dict[str, str] = {}
    for component in top.walk():
        for name, value in component.params.items():
            where = f"{slot}.{_name_form(component.name)}.{name}"
            found |= _files_in(value, where, writes=_writes(component))
    return found


def _files_in(value: Any, where: str, *, writes: bool) -> dict[str, str]:
    if isinstance(value, (set, frozenset)):
        # the order of a set changes with PYTHONHASHSEED
        value = sorted(value, key=repr)
    if isinstance(value, partial):
        value = {**dict(enumerate(value.args)), **value.keywords}
    items = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    found = {k: v for name, item in items for k, v in _files_in(item, f"{where}.{name}", writes=writes).items()}
    path = _existing(value)
    if path is None or (writes and path.is_dir()):
        return found
    # by content, not by time: a file that is copied or touched keeps its runs
    return {where: file_digest(path)[:16] if path.is_file() else tree_digest(path)[:16]}


@lru_cache
def _fingerprint_of(names: tuple[str, ...]) -> str:
    """Return a hash of the sources of some kernel modules, without comments and docstrings."""
    texts = [f"{name} {_fingerprint_of_file(KERNEL / name)}" for name in names]
    save_facts()
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _fingerprint_of_file(path: Path) -> str:
    return facts_of(source_of_file(path)).fingerprint


def versions_of(packages: frozenset[str]) -> dict[str, str]:
    """Return distribution → version, for top-level packages that components import."""
    return dict(sorted(item for package in packages for item in _version_of(package)))


@lru_cache(maxsize=1024)
def _version_of(package: str) -> tuple[tuple[str, str], ...]:
    from importlib import metadata

    try:
        return ((package.lower().replace("_", "-"), metadata.version(package)),)
    except metadata.PackageNotFoundError:
        # a package may be named otherwise than its distribution: PIL is pillow, sklearn scikit-learn
        names = _distributions().get(package, [])
    return tuple((name.lower().replace("_", "-"), metadata.version(name)) for name in dict.fromkeys(names))


@lru_cache
def _distributions() -> Mapping[str, list[str]]:
    """Return top-level package → distributions, cached until something is installed: reading it takes 0.3 s."""
    from importlib import metadata

    # Of a folder, only what describes distributions counts: a study's own folder changes with every run.
    state = {folder: os.stat(folder).st_mtime_ns for folder in metadata_folders()}
    file = cache_folder() / "distributions.json"
    known = read_cache(file)
    if known.get("state") != state:
        known = {"state": state, "packages": metadata.packages_distributions()}
        write_cache(file, known)
    packages: dict[str, list[str]] = known["packages"]
    return packages


def _hidden(value: str | None) -> str | None:
    """Return a hash of an environment variable, whose value may be a secret."""
    return None if value is None else hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:12]


# --- metrics, sources -------------------------------------------------------------------------------------------------


@_once_per_experiment
def metric_identities(experiment: ResolvedExperiment) -> dict[str, str]:
    """Return metric → hash of its parameters and source; if it changed, a finished run is evaluated again."""
    found = {}
    for component in experiment.components("metrics"):
        parts = list(component.walk())
        closure = _closure(parts)
        content = [
            _component_form(component),
            closure.fingerprints(),
            _states(parts),
            versions_of(closure.packages),
            _files_of("metrics", component),
            {name: value for name, value in closure.environment().items() if value is not None},
        ]
        found[component.alias] = hashlib.sha256(_text(content).encode()).hexdigest()[:16]
    return found


@attrs.frozen
class LocalSource:
    """One of the user's source files that a run depends on.

    Attributes:
        name: dotted name of the module; of a study file, the name of its file.
        path: its path.
        text: its content when it was imported.
    """

    name: str
    path: Path
    text: str


@_once_per_experiment
def local_sources(experiment: ResolvedExperiment) -> list[LocalSource]:
    """Return the study file, and the user's modules that it or a component imports."""
    return [
        LocalSource(source.path.name if source.is_question else source.name, source.path, source.text)
        for source in _modules(experiment)
        if source.is_local
    ]


def _modules(experiment: ResolvedExperiment) -> list[ModuleSource]:
    return list(_closure(experiment.all_components()).modules.values())


def changed_sources(experiment: ResolvedExperiment) -> list[LabError]:
    """Return one error for every file of an experiment that differs from the source that was imported."""
    return changed_since_import(_modules(experiment))
