"""The third-party component that an error is about: its plugin, its file and its line."""

from __future__ import annotations

import os
import sys
import traceback
import types
from collections.abc import Iterator, Sequence

from lab.errors import LabError, StudyError, describe_error, line_of_code, notes_of
from lab.registry.resolved import Component
from lab.study.experiment import ResolvedExperiment

__all__ = ["blamed", "explained", "line_in_package", "line_of"]


def explained(error: BaseException, experiment: ResolvedExperiment, *, suspects: bool = False) -> list[str]:
    """Return the problems that an error tells of, each with its notes and the third-party component that is at fault.

    Args:
        error: what was raised while the experiment was built, rehearsed or trained.
        experiment: its components.
        suspects: name every third-party component if none can be told to be at fault.
    """
    components = [each for each in experiment.all_components() if each.is_third_party]
    if isinstance(error, StudyError):
        return [_with_place(problem, "", components) for problem in error.problems]
    text = "\n".join([describe_error(error), *notes_of(error)])
    # a line of a component's own code may be in the message, of what it did before the error
    at_fault = [each for each in components if _package(each) in text]
    found = blamed(error, components, experiment) or "\n".join(f"in {each.label}" for each in at_fault)
    if not found and suspects and not _mentioned(text, components):
        found = "\n".join(f"third party in this arm: {_named(each)}" for each in components)
    return [_with_place(text, found, components)]


def blamed(error: BaseException, components: Sequence[Component], experiment: ResolvedExperiment | None = None) -> str:
    """Return the component whose code raised an error, with the line; else those whose slots the error blames."""
    for frame, line in _frames(error):
        owners = [each for each in components if frame.co_filename.startswith(_package(each))]
        if owners:
            # of several components in one package, the one whose method it is
            name = frame.co_qualname.partition(".")[0]
            owner = next((each for each in owners if getattr(each.factory, "__qualname__", "") == name), owners[0])
            return f"in {owner.label}, {line}"
    if experiment is None or not isinstance(error, LabError):
        return ""
    slots = [experiment.slots.get(slot, ()) for slot in error.blames]
    tops = [each for slot in slots for each in (slot if isinstance(slot, (list, tuple)) else [slot])]
    return "\n".join(f"in {_named(each)}" for top in tops for each in top.walk() if each in components)


def line_of(error: BaseException, component: Component) -> str:
    """Return the innermost line of a component's package in an error, or else the component's definition."""
    return line_in_package(error, component.factory.__module__) or component.place


def line_in_package(error: BaseException, module: str) -> str:
    """Return the innermost line of an error in the package that a module belongs to; empty if there is none."""
    package = _folder(module)
    return next((line for frame, line in _frames(error) if frame.co_filename.startswith(package)), "")


def _frames(error: BaseException | None) -> Iterator[tuple[types.CodeType, str]]:
    """Iterate over the frames of an error and its causes, innermost first: the code, and its line as text."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__
    for each in reversed(chain):
        for frame, number in reversed(list(traceback.walk_tb(each.__traceback__))):
            yield frame.f_code, line_of_code(frame.f_code.co_filename, number)


def _package(component: Component) -> str:
    """Return the folder of a component's package, or the file of its module."""
    return _folder(component.factory.__module__)


def _folder(module: str) -> str:
    top = sys.modules.get(module.partition(".")[0])
    file = getattr(top, "__file__", None) or "\0"
    return os.path.dirname(file) + os.sep if os.path.basename(file).startswith("__init__.") else file


def _named(component: Component) -> str:
    return ", ".join(filter(None, (component.label, component.place)))


def _mentioned(text: str, components: Sequence[Component]) -> list[Component]:
    """Return the components that a message names, by their registered name or by that of their class."""
    found = []
    for each in components:
        names = {each.alias, each.name, getattr(each.factory, "name", ""), getattr(each.factory, "__name__", "")}
        if any(f"{each.registry.spec.singular} '{name}'" in text for name in names if isinstance(name, str)):
            found.append(each)
    return found


def _with_place(text: str, found: str, components: Sequence[Component]) -> str:
    """Return a message with the place of what it is about, unless it says it."""
    places = found.splitlines() or [f"in {_named(each)}" for each in _mentioned(text, components)]
    lines = [line for line in places if line.removeprefix("in ") not in text]
    return "\n".join([text, *(f"  {line}" for line in lines)])
