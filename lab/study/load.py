"""Loading a study from its file."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import attrs

from lab.errors import LabError, StudyError
from lab.registry.binding import Resolver, Text, inner_of, read_reference
from lab.registry.imports import recording_reads, watch_imports
from lab.registry.modules import keep_source
from lab.registry.plugins import Catalog
from lab.study.experiment import Experiment
from lab.study.study import Study

__all__ = ["load_study", "override"]


def load_study(path: Path | str, catalog: Catalog | None = None) -> Study:
    """The study in a Python file: its global called ``study``, or the only study it holds.

    Args:
        path: the file.
        catalog: where hook implementations in the file are registered, under the file's name; without it they are not.

    Raises:
        LabError: there is no such file, it cannot be run, or it holds no study.
    """
    path = Path(path)
    module = _import(path)
    if catalog is not None and _has_hooks(module):
        catalog.remove(path.stem)
        catalog.add_module(module, path.stem)
    studies = {name: value for name, value in vars(module).items() if isinstance(value, Study)}
    if not studies:
        raise LabError("this file holds no study", where=str(path), hint="give it one: study = Study(base).swap(...)")
    if "study" not in studies and len({id(study) for study in studies.values()}) > 1:
        raise LabError(
            f"this file holds {len(studies)} studies: {', '.join(studies)}",
            where=str(path),
            hint="call one of them `study`",
        )
    study = studies.get("study", next(iter(studies.values())))
    question = study.question or inspect.getdoc(module) or ""
    return attrs.evolve(study, name=study.name or path.stem, question=question, file=str(path))


def _has_hooks(module: ModuleType) -> bool:
    return any(hasattr(value, "lab_impl") for value in vars(module).values())


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise LabError(
            "there is no such study file", where=str(path), hint="lab new experiment NAME writes one to start from"
        )
    content = path.read_bytes()
    name = f"lab_experiment_{path.stem}_{hashlib.sha256(bytes(path.absolute()) + content).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LabError("a study is a Python file", where=str(path), hint="its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent.absolute()) not in sys.path:  # a study may import what lies beside it, as a script does
        sys.path.insert(0, str(path.parent.absolute()))
    watch_imports(path.parent)
    state = path.stat()
    keep_source(module, path, content, (state.st_mtime_ns, state.st_size))
    try:
        with recording_reads():
            exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise LabError(
            f"this study file has a syntax error: {error.msg}",
            where=f"{path}, line {error.lineno}: {(error.text or '').strip()}",
        ) from error
    except LabError as error:
        error.where = error.where or f"{path}{_line_of(error, path)}"
        raise
    except (Exception, SystemExit) as error:
        raise LabError(
            f"this study file raises {type(error).__name__}: {error}", where=f"{path}{_line_of(error, path)}"
        ) from error
    return module


def _line_of(error: BaseException, path: Path) -> str:
    """The line of the study file that an error came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def override(study: Study, assignments: Sequence[str], catalog: Catalog, *, where: str | None = None) -> Study:
    """The study with ``PATH=VALUE`` assignments applied to its base, in order.

    A dataset that is made around another stays where ``dataset=NAME`` is set, and NAME goes inside: what stands around
    it is what the rest of the experiment asks for. ``dataset=NAME()`` takes the place of the whole.

    Raises:
        StudyError: a path is unknown or a value cannot stand there; all of them at once, with every other problem that
            the study has.
    """
    base, problems = study.base, []
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals:
            problems.append(f"cannot read --set {assignment}\n  write it as PATH=VALUE, for example --set lr=0.01")
            continue
        try:
            path, value = path.strip(), value.strip()
            base = base.changed(_inside(base, path, value, catalog), Text(value), catalog)
        except LabError as error:
            problems.append(f"--set {assignment}: {error}")
    study = attrs.evolve(study, base=base)
    if problems:
        raise StudyError([*problems, *study.problems(catalog)], where=where)
    return study


def _inside(base: Experiment, path: str, value: str, catalog: Catalog) -> str:
    """Where a value belongs that was set at ``path``."""
    registry = catalog.registry("datasets")
    if path != "dataset" or value not in registry:
        return path
    around, beside = (Resolver(catalog).follow(registry, read_reference(each))[0] for each in (base.dataset, value))
    inner = inner_of(registry, around, catalog)
    if inner is None or inner_of(registry, beside, catalog) is not None:
        return path
    return f"dataset.{inner}"
