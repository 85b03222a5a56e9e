"""Loading a study from its file."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from types import ModuleType

import attrs

from lab.collection import without_collection
from lab.errors import LabError, StudyError, did_you_mean, error_text, own_line
from lab.registry.closure import note_study
from lab.registry.imports import recording_reads, watch_imports
from lab.registry.modules import keep_source
from lab.registry.plugins import Catalog
from lab.streams import stdout_to_stderr
from lab.study.folder import keeps_working_folder
from lab.study.study import Study

__all__ = ["load_study", "override"]


def load_study(path: Path | str, catalog: Catalog | None = None) -> Study:
    """Return the study in a Python file: its global ``study``, or the only study in it.

    Args:
        path: the file.
        catalog: where hook implementations in the file are registered, under the file's name; without it they are not.

    Raises:
        LabError: there is no such file, it cannot be run, or it holds no study.
    """
    path = Path(path)
    module = _import(path, catalog)
    if catalog is not None and _has_hooks(module):
        # a file that is loaded again in the same process (notebooks, workers) replaces its own hooks
        catalog.remove(path.stem)
        catalog.add_module(module, path.stem)
    studies = {name: value for name, value in vars(module).items() if isinstance(value, Study)}
    if not studies:
        raise LabError("this file holds no study", where=str(path), hint="give it one: study = Study(base).swap(...)")
    # one study under two names is not ambiguous
    if "study" not in studies and len({id(study) for study in studies.values()}) > 1:
        raise LabError(
            f"this file holds {len(studies)} studies: {', '.join(studies)}",
            where=str(path),
            hint="call one of them `study`",
        )
    study = studies.get("study", next(iter(studies.values())))
    question = study.question or inspect.getdoc(module) or ""
    return attrs.evolve(study, name=study.name or path.stem, question=question, file=str(path))


def _watched(path: Path, catalog: Catalog | None) -> AbstractContextManager[object]:
    """Return a guard of global state around a study file's import; none if it is loaded for shell completion."""
    if catalog is None:
        return nullcontext()
    # Here torch is imported.
    with without_collection():
        from lab.study.guard import assert_global_state_unchanged
        from lab.training.rng import all_generators

    guard = ExitStack()
    guard.enter_context(assert_global_state_unchanged(path.name, allow_torch_rng=True, functions=True))
    # many files call torch.manual_seed at the top; runs seed their own streams, so it is undone without a message
    guard.enter_context(all_generators(0))
    return guard


def _has_hooks(module: ModuleType) -> bool:
    return any(hasattr(value, "lab_impl") for value in vars(module).values())


_searched: set[str] = set()


def _search_beside(folder: Path) -> None:
    """Let a study import what lies beside it: after everything installed, and before what lies beside other studies.

    Modules of other studies with the name of one in this folder are dropped, so that each study imports its own.
    """
    name = str(folder)
    # on the user's own PYTHONPATH: its place must stay
    if name in sys.path and name not in _searched:
        return
    if name in sys.path:
        sys.path.remove(name)
    # appended, never first: a study's random.py or types.py must not replace Python's own
    others = [index for index, place in enumerate(sys.path) if place in _searched]
    sys.path.insert(min(others, default=len(sys.path)), name)
    _searched.add(name)
    namesakes = {top for top in {known.partition(".")[0] for known in sys.modules} if _is_anothers(top, folder)}
    for known in [known for known in sys.modules if known.partition(".")[0] in namesakes]:
        del sys.modules[known]


def _is_anothers(top: str, folder: Path) -> bool:
    """Return whether a module that is loaded lies beside another study, and one of its name lies in ``folder``."""
    if not ((folder / f"{top}.py").is_file() or (folder / top).is_dir()):
        return False
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    places = [os.path.dirname(file)] if file else list(getattr(module, "__path__", ()))
    if not file or os.path.basename(file) == "__init__.py":
        places = [os.path.dirname(place) for place in places]
    return any(place in _searched and place != str(folder) for place in places)


def _import(path: Path, catalog: Catalog | None) -> ModuleType:
    # stat first: Python 3.14's is_file says no of names that the system refuses
    with suppress(FileNotFoundError, NotADirectoryError):
        path.stat()
    if not path.is_file():
        beside = sorted(each.name for each in path.parent.glob("*.py")) if path.parent.is_dir() else []
        name = path.name if path.suffix else f"{path.name}.py"
        hint = did_you_mean(name, beside, "lab new experiment NAME writes one to start from")
        raise LabError("there is no such study file", where=str(path), hint=hint)
    content = path.read_bytes()
    # a hash of path and content in the name: two studies of one name, or a study edited between two loads, are two
    # modules
    name = f"lab_experiment_{path.stem}_{hashlib.sha256(bytes(path.absolute()) + content).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LabError("a study is a Python file", where=str(path), hint="its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    # registered before it runs, as dataclasses look their module up there
    sys.modules[name] = module
    _search_beside(path.parent.absolute())
    watch_imports(path.parent)
    try:
        # compiled from the text that is kept: reading the file twice could fingerprint another text than was run
        code = compile(keep_source(module, path), str(path), "exec", dont_inherit=True)
        with keeps_working_folder(), stdout_to_stderr(), _watched(path, catalog), recording_reads():
            exec(code, module.__dict__)
    except SyntaxError as error:
        file = path if _is_of(error, path) else error.filename
        raise LabError(
            f"{_whose(error, path)} has a syntax error: {error.msg}",
            where=f"{file}, line {error.lineno}: {(error.text or '').strip()}",
        ) from error
    except LabError as error:
        error.where = error.where or f"{path}{_line_of(error, path)}"
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"{path}{_line_of(error, path)}"
        inner = own_line(error)
        raise LabError(
            f"this study file raises {type(error).__name__}: {error_text(error)}",
            where=where if not inner or _is_in(inner, path) else f"{where}\n{inner}",
            hint=_shadowed(error, path.parent),
        ) from error
    note_study(module)
    return module


def _whose(error: SyntaxError, path: Path) -> str:
    return "this study file" if _is_of(error, path) else "a module that this study imports"


def _is_of(error: SyntaxError, path: Path) -> bool:
    return error.filename is None or Path(error.filename).absolute() == path.absolute()


def _is_in(place: str, path: Path) -> bool:
    return place.startswith((f"{path}, ", f"{path.absolute()}, "))


def _line_of(error: BaseException, path: Path) -> str:
    """Return the line of the study file that an error came from."""
    files = (str(path), str(path.absolute()))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _shadowed(error: BaseException, folder: Path) -> str | None:
    """Return a hint if an import failed because an installed module shadows a file beside the study."""
    name = getattr(error, "name", None) if isinstance(error, ImportError) else getattr(error, "obj", None)
    name = getattr(name, "__name__", name)
    if not isinstance(name, str) or not isinstance(error, (ImportError, AttributeError)):
        return None
    top = name.partition(".")[0]
    beside = [file for file in (folder / f"{top}.py", folder / top / "__init__.py") if file.is_file()]
    imported = getattr(sys.modules.get(top), "__file__", None)
    if not beside or (imported is not None and Path(imported).resolve() == beside[0].resolve()):
        return None
    return f"'{top}' is an installed or standard module that shadows {beside[0].relative_to(folder)}; rename that file"


def _own_level(study: Study, path: str) -> str | None:
    """Return the path at or above ``path`` of which every arm has its own level, as in a grid; None without one."""
    return next((own for own in study.all_arms[0].changes if path == own or path.startswith(f"{own}.")), None)


def override(study: Study, assignments: Sequence[str], catalog: Catalog, *, where: str | None = None) -> Study:
    """Return the study with ``PATH=VALUE`` assignments applied to its base, in order.

    Each value is read by the annotation of the parameter at its path.

    Raises:
        StudyError: a path is unknown or a value does not fit; all of them at once, with every other problem of the
            study.
    """
    from lab.study.guard import guarded

    # reading a value imports its component, and the plan sets its guard of imports only later
    catalog.import_guard = guarded
    base, problems = study.base, []
    for assignment in assignments:
        path, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            problems.append(f"cannot read --set {assignment}\n  write it as PATH=VALUE, for example --set lr=0.01")
            continue
        own = _own_level(study, path)
        if own is not None:
            problems.append(
                f"--set {assignment}: it would change nothing, since every arm has its own '{own}'\n"
                "  change its levels in the study's file"
            )
            continue
        try:
            base = base.changed_by_text(path, text, catalog)
        except (LabError, TypeError) as error:
            problems.append(f"--set {assignment}: {error}")
    study = attrs.evolve(study, base=base)
    if problems:
        raise StudyError([*problems, *study.problems(catalog)], where=where)
    return study
