"""Errors that a user can act on: what happened, where it comes from, what to do."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "DataError",
    "LabError",
    "NonFiniteLossError",
    "OutOfMemoryError",
    "ParameterError",
    "PluginError",
    "RunFailed",
    "ShapeError",
    "StoreError",
    "StudyError",
    "UnknownNameError",
]


class LabError(Exception):
    """An expected failure; the command line prints it without a traceback.

    Args:
        what: one sentence of what is wrong.
        where: where it comes from (a file, a parameter, a plugin).
        hint: what to do about it; may hold several lines.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        details = [line for part in (self.where, self.hint) if part for line in part.splitlines()]
        return "\n".join([self.what, *(f"  {line}" for line in details)])


class UnknownNameError(LabError):
    """A name, path, arm or kind that nothing answers to."""


class ParameterError(LabError):
    """A component's parameter is unknown, missing or of the wrong type."""


class PluginError(LabError):
    """A plugin breaks its contract: a clash, a wrong hook, an object that cannot be loaded."""


class DataError(LabError):
    """A corpus or a file cannot be used as it is."""


class ShapeError(LabError):
    """Tensors disagree in shape; the message gives the shapes."""


class StoreError(LabError):
    """The folder of runs cannot be read or written."""


class RunFailed(LabError):
    """A run could not finish; the study goes on without it."""

    exit_code = 1


class NonFiniteLossError(RunFailed):
    """The loss became NaN or infinite."""


class OutOfMemoryError(RunFailed):
    """A batch did not fit in the device's memory."""


class StudyError(LabError):
    """Every problem of a study at once.

    Args:
        problems: one entry per problem, each already naming its arm.
        where: the file of the study.
    """

    def __init__(self, problems: Sequence[str], *, where: str | None = None) -> None:
        count = len(problems)
        what = problems[0] if count == 1 else f"{count} problems in this study"
        super().__init__(what, where=where)
        self.problems = list(problems)

    def __str__(self) -> str:
        lines = [f"  {self.where}"] if self.where else []
        if len(self.problems) == 1:
            return "\n".join([self.problems[0], *lines])
        body = [line for problem in self.problems for line in ("", *problem.splitlines())]
        return "\n".join([f"{self.what}:", *lines, *body])
