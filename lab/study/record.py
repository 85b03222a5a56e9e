"""The record of a study, ``runs/<study>/study.json``, from which its report is made.

It is written before the first run, so that a running or interrupted study can be reported too; the outcome of each
run is always read from the store. It is a union of the study's variants (``lab.study.variants``).
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
import shutil
import sys
import sysconfig
import time
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from lab.errors import LabError, StoreError, UnknownNameError, describe
from lab.registry.component import Use, as_use, use
from lab.study import files, variants
from lab.study.experiment import TASK, Experiment, Task
from lab.study.notes import Notes, notes_of_plan, with_earlier_notes
from lab.study.read_back import with_types
from lab.study.results import Results
from lab.study.space import Options, Range, Search
from lab.study.store import RunRecord, Store
from lab.study.study import Arm, Study, Trial

if TYPE_CHECKING:
    from lab.study.preflight import Plan

__all__ = [
    "ComponentRecord",
    "StudyRecord",
    "among_others",
    "as_compared",
    "read_study",
    "record_of",
    "search_content",
    "shell_name",
    "variant_of",
    "write_study",
]

FILE = variants.FILE


@attrs.frozen
class ComponentRecord:
    """Origin of a component.

    Attributes:
        kind: what it is, ``architecture``.
        name: its registered name.
        plugin: who supplied it, with its version; ``local`` for a class of one's own.
        file: its source, relative to the working folder or to where packages are installed, with the line.
        arms: the arms that use it.
    """

    kind: str
    name: str
    plugin: str
    file: str
    arms: Sequence[str]


@attrs.frozen(eq=False)
class StudyRecord:
    """A study as recorded on disk.

    Attributes:
        study: the study; its base refers to components by name, its arms are named but hold no changes.
        arms: its arms, the base first, with their resolved differences.
        runs: arm, seed and key of every run, in order.
        base: the resolved experiment of the base, as plain JSON.
        components: where every component came from.
        file: the study's file, as it was given.
        command: the command that made it.
        made: when, in UTC, ISO 8601.
        version: the version of ``lab`` that made it.
        folder: where it lies.
        variant: which variant of the study this is.
        label: the settings in which it differs from the other variants; empty if it is the only one.
        others: variant → label of the others, the one run last first.
        is_last: whether it is the one that was run last.
        notes: notes on its data and its arms; none in records of older versions.
    """

    study: Study
    arms: Sequence[Arm]
    runs: Sequence[Mapping[str, Any]]
    base: Mapping[str, Any]
    components: Sequence[ComponentRecord]
    file: str
    command: str
    made: str
    version: str
    folder: Path
    variant: str = ""
    label: str = ""
    others: Mapping[str, str] = attrs.Factory(dict)
    is_last: bool = True
    notes: Notes = attrs.field(factory=Notes)

    def results(self, store: Store) -> Results:
        """Return its results, from the runs in the store now."""
        runs = [store.record(**run) for run in self.runs]
        if TASK in self.base:
            runs = [as_compared(run, f"task '{self.base[TASK]['component']}'", self.study.compare) for run in runs]
        return Results(self.study, self.arms, runs, self.notes.caveats())


def as_compared(run: RunRecord, task: str, compare: str) -> RunRecord:
    """Return the run of a task as a study sees it: failed if it lacks the metric that the study compares.

    In the store it stays finished, for a study of another metric.
    """
    if run.status != "finished" or compare in run.metrics:
        return run
    # torch is imported with these
    from lab.study.run import failure_content
    from lab.study.task import without_primary

    return attrs.evolve(run, status="failed", result=failure_content(without_primary(task, run.metrics, compare)))


# --- writing ----------------------------------------------------------------------------------------------------------


def write_study(plan: Plan, store: Store, *, file: str = "", command: str = "") -> StudyRecord:
    """Add a plan to the record of its study, whole or not at all, and return the record of the plan."""
    from lab.study.sources import trust_study

    folder = store.study_folder(plan.study.name)
    content = content_of(plan, file=file, command=command)
    union = add_variant(store, folder, content)
    trust_study(plan.study.file)
    plain = files.from_plain(union)
    return _parse(plain, {name: value for name, value in plain.items() if name != "variants"}, folder)


def add_variant(store: Store, folder: Path, content: variants.Content) -> dict[str, Any]:
    """Add a variant to the record of a study, whatever other processes add meanwhile, and return the record."""
    # read, merge and write under one lock: two `lab run` of one study at once would lose one of the variants
    with store.lock(f"study-{variants.place_of(folder.name)}"):
        before = _variants_before(folder)
        replaced = [each for each in before if variants.replaces(content, each)]
        union = variants.merged(before, with_earlier_notes(content, replaced))
        # report.html is about to be overwritten by the second variant
        if len(before) == 1 and "variants" in union:
            _keep_reports(folder, before[0]["variant"])
        files.write_sealed(folder / FILE, union)
    return union


def among_others(record: StudyRecord) -> StudyRecord:
    """Return a record with the variants that its study has by now, including those run meanwhile."""
    try:
        every = variants.all_variants(variants.read_content(record.folder))
    except (OSError, StoreError):
        return record
    known = variants.labels(every)
    others = {each["variant"]: known[each["variant"]] for each in reversed(every)}
    label = others.pop(record.variant, record.label)
    return attrs.evolve(record, label=label, others=others, is_last=every[-1]["variant"] == record.variant)


def record_of(plan: Plan, store: Store, *, file: str = "", command: str = "") -> StudyRecord:
    """Return the record of a plan without writing it."""
    content = files.from_plain(content_of(plan, file=file, command=command))
    return _parse(content, content, store.root / plan.study.name)


def content_of(plan: Plan, *, file: str = "", command: str = "") -> dict[str, Any]:
    """Return the content of ``study.json`` for a plan."""
    from importlib.metadata import version

    study = plan.study
    content = {
        "name": study.name,
        "question": study.question,
        "compare": study.compare,
        "selection": study.selection,
        "higher_is_better": study.higher_is_better,
        "margin": study.margin,
        "rules": dict(study.rules),
        "seeds": study.seed_list,
        "file": file,
        "place": variants.place_of(file),
        "device": plan.runs[0].device.partition(":")[0] if plan.runs else "cpu",
        "command": command,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "lab": version("lab-ablation"),
        "base": plan.arms[0].experiment.to_json(),
        "arms": {arm.name: _arm_content(arm) for arm in plan.arms},
        "search": None if study.searching is None else search_content(study.searching),
        "components": [attrs.asdict(component) for component in components_of(plan.arms)],
        "runs": [{"arm": run.arm, "seed": run.seed, "key": run.key} for run in plan.runs],
        "notes": notes_of_plan(plan).to_json(),
    }
    # through JSON once, so that the variant's name is computed from the same values as when it is read back
    plain = json.loads(files.standard_json(files.to_standard(content)))
    return {**plain, "variant": variants.name_variant(plain)}


def _variants_before(folder: Path) -> list[variants.Content]:
    """Return the variants in the record; a damaged record is moved aside."""
    try:
        return variants.all_variants(variants.read_content(folder))
    except FileNotFoundError:
        return []
    except StoreError as error:
        aside = folder / f"{FILE}.damaged"
        warnings.warn(f"{error}\n  it is kept as {aside} and written again", stacklevel=3)
        # os.replace cannot replace a folder by a file
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        os.replace(folder / FILE, aside)
        return []


def _keep_reports(folder: Path, variant: str) -> None:
    """Keep the reports of a variant that is not the only one any more."""
    for name in ("report.html", "runs.csv"):
        source, copy = folder / name, folder / f"-{variant}.".join(name.split("."))
        if source.is_file() and not source.is_symlink() and not os.path.lexists(copy):
            shutil.copyfile(source, copy)


def _arm_content(arm: Arm) -> dict[str, Any]:
    content: dict[str, Any] = {"difference": dict(arm.difference), "factors": dict(arm.factors)}
    content |= {} if arm.seeds is None else {"seeds": list(arm.seeds)}
    content |= {name: value for name, value in (("base", arm.base), ("row", arm.row)) if value}
    return content if arm.trial is None else {**content, "trial": attrs.asdict(arm.trial)}


def search_content(search: Search) -> dict[str, Any]:
    """Return a search as JSON; options are given by name."""
    space = {
        path: list(choice.values) if isinstance(choice, Options) else attrs.asdict(choice)
        for path, choice in search.space.items()
    }
    searcher = as_use(search.searcher).name
    return {"space": space, "trials": search.trials, "batch": search.batch, "seed": search.seed} | {
        "searcher": searcher,
        "rungs": list(search.rungs),
    }


def _read_search(content: Mapping[str, Any]) -> Search:
    space = {
        path: Range(**choice) if isinstance(choice, dict) else Options({name: name for name in choice})
        for path, choice in content["space"].items()
    }
    known = {name: value for name, value in content.items() if name not in ("space", "rungs")}
    return Search(space, rungs=tuple(content["rungs"]), **known)


def components_of(arms: Iterable[Arm]) -> list[ComponentRecord]:
    """Return every component of every arm once, including nested ones."""
    users: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for arm in arms:
        for component in arm.experiment.all_components():
            row = (component.registry.spec.singular, component.name, component.plugin, source_of(component.factory))
            users.setdefault(row, {})[arm.name] = None
    return [ComponentRecord(*row, arms=list(names)) for row, names in users.items()]


def source_of(factory: Any) -> str:
    """Return the file and line of a class or function, relative to the working folder or to site-packages."""
    try:
        path, line = _file_and_line(inspect.unwrap(factory))
    except (TypeError, OSError):
        return f"{getattr(factory, '__module__', '?')}:{getattr(factory, '__qualname__', '?')}"
    return f"{_short_path(Path(path or '?'))}:{line}"


@lru_cache(maxsize=4096)
def _file_and_line(factory: Any) -> tuple[str | None, int]:
    """Return file and line; cached, since looking a class up parses its whole file and arms share components."""
    if isinstance(factory, types.FunctionType):
        return inspect.getsourcefile(factory), factory.__code__.co_firstlineno
    return inspect.getsourcefile(factory), inspect.getsourcelines(factory)[1]


def _short_path(path: Path) -> str:
    roots: list[str] = []
    # the working folder may have been removed
    with suppress(OSError):
        roots.append(os.getcwd())
    roots += [*sysconfig.get_paths().values(), *filter(None, sys.path)]
    shortened = [str(path.relative_to(root)) for root in roots if path.is_relative_to(root)]
    return min(shortened, key=len, default=path.name)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_study(store: Store, name: str, variant: str = "") -> StudyRecord:
    """Return the record of the study ``name``; its file's name (``experiments/width.py``) is accepted too.

    Args:
        store: the runs.
        name: the study.
        variant: which variant, by the first digits of its name or by its label; the one run last unless given.

    Raises:
        UnknownNameError: there is no such study; close matches are given.
        StoreError: its record is damaged, or made by a version of ``lab`` that wrote less.
    """
    folder = store.root / _plain_name(name)
    try:
        content = variants.read_content(folder)
        chosen = variants.choose(variants.all_variants(content), variant, folder.name)
        return _parse(content, chosen, folder)
    except FileNotFoundError:
        raise _unknown(store, name) from None
    except UnknownNameError:
        raise
    except StoreError as error:
        raise _damaged(folder, str(error.where)) from error
    except LabError as error:
        # the JSON is sound but describes an impossible study, such as two arms of one name
        raise _damaged(folder, f"{folder / FILE}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, describe(error)) from error


def shell_name(name: str, root: Path, variant: str = "") -> str:
    """Return how a command names a study so that it finds this one: its name, and the options that it needs.

    Args:
        name: the study.
        root: the folder of runs.
        variant: which variant, of a study that has several.

    >>> shell_name("my study", Path("their runs"), "3f2a"), shell_name("width", Path("runs"))
    ("'my study' --variant 3f2a --runs 'their runs'", 'width')
    """
    elsewhere = [] if root == Path("runs") else ["--runs", str(root)]
    return shlex.join([name, *(["--variant", variant] if variant else []), *elsewhere])


def variant_of(root: Path, name: str, keys: Iterable[str]) -> str:
    """Return the variant of a study that has just these runs; empty if it has one variant, or none is known."""
    try:
        every = variants.all_variants(variants.read_content(root / name))
    except (OSError, StoreError):
        return ""
    asked = set(keys)
    found = [each["variant"] for each in every if {run["key"] for run in each["runs"]} == asked]
    return str(found[-1]) if found and len(every) > 1 else ""


def _damaged(folder: Path, why: str) -> StoreError:
    return StoreError(
        f"the record of the study '{folder.name}' cannot be read",
        where=why,
        hint="lab run writes it again; finished runs are found, not trained again",
    )


def _plain_name(name: str) -> str:
    """Return the name of a study, also from the path of its file or folder."""
    path = Path(name)
    plain = path.stem if path.suffix == ".py" else path.name
    # "?" is no valid name, so a path that leaves the store becomes "unknown study"
    return "?" if plain in ("", "..") or "\0" in plain or len(plain.encode(errors="replace")) > 255 else plain


def _unknown(store: Store, name: str) -> UnknownNameError:
    names = variants.study_names(store)
    hint = f"studies: {', '.join(names)}" if names else "no study was run there yet; lab run FILE runs one"
    return UnknownNameError.among("study", _plain_name(name), names, where=str(store.root), hint=hint)


def _parse(union: Mapping[str, Any], content: Mapping[str, Any], folder: Path) -> StudyRecord:
    """Return the record of one variant of a study."""
    every = variants.all_variants(union)
    labels, last = variants.labels(every), every[-1]["variant"]
    others = {each["variant"]: labels[each["variant"]] for each in reversed(every)}
    arms = [
        Arm(
            name,
            factors=arm["factors"],
            trial=Trial(**arm["trial"]) if "trial" in arm else None,
            seeds=arm.get("seeds"),
            base=arm.get("base", ""),
            row=arm.get("row", ""),
            difference={path: (old, new) for path, (old, new) in arm["difference"].items()},
        )
        for name, arm in content["arms"].items()
    ]
    study = Study(
        experiment_from_json(content["base"]),
        seeds=content["seeds"],
        compare=content["compare"],
        arms=tuple(arms),
        name=content["name"],
        question=content["question"],
        selection=content.get("selection", ""),
        higher_is_better=content.get("higher_is_better"),
        margin=content.get("margin"),
        rules=content.get("rules", {}),
        searching=_read_search(content["search"]) if content.get("search") else None,
    )
    return StudyRecord(
        study,
        arms,
        [{name: run[name] for name in ("key", "arm", "seed")} for run in content["runs"]],
        content["base"],
        [ComponentRecord(**component) for component in content["components"]],
        content["file"],
        content["command"],
        content["made"],
        content["lab"],
        folder,
        content["variant"],
        labels.get(content["variant"], ""),
        {name: label for name, label in others.items() if name != content["variant"]},
        content["variant"] == last,
        Notes(**content.get("notes", {}), count=len(arms)),
    )


def experiment_from_json(content: Mapping[str, Any]) -> Experiment | Task:
    """Return the experiment that resolved JSON describes; user-defined classes are named, not imported."""
    if TASK in content:
        return Task(_use(content[TASK]))
    fields = attrs.fields_dict(Experiment)
    return Experiment(**{name: _setting(value) for name, value in content.items() if name in fields})


def _setting(value: Any) -> Any:
    """Return a setting of an experiment; among its numbers only the learning rate may be a slice."""
    if isinstance(value, dict) and list(value) == ["slice"]:
        return slice(*value["slice"])
    return _from_json(value)


def _from_json(value: Any) -> Any:
    if isinstance(value, dict) and "component" in value:
        return _use(value)
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value


def _use(content: Mapping[str, Any]) -> Use:
    if not isinstance(content["component"], str) or not isinstance(content.get("params"), dict):
        raise files.DamagedError("a component of this record is damaged", where=str(content)[:200])
    types = content.get("types", {})
    try:
        params = {name: with_types(_from_json(value), types, name) for name, value in content["params"].items()}
    except ValueError as error:
        raise files.DamagedError("a component of this record is damaged", where=str(error)) from None
    return use(content["component"], **params)
