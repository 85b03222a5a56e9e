"""A command line as an experiment: ``Study(lab.command("python train.py --lr {lr}", lr=3e-3, metrics=...))``."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.registry.component import Use

__all__ = ["GIVEN", "command"]

GIVEN = ("seed", "folder", "device", "threads")
"""Placeholders that a run fills."""

FOR_SHELLS = frozenset({"|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>"})
"""Words that only a shell understands."""

_BRACES = {
    "Single '{' encountered in format string": "a '{' has no '}'",
    "Single '}' encountered in format string": "a '}' has no '{'",
    "expected '}' before end of string": "a '{' has no '}'",
}


def command(
    template: str,
    *,
    metrics: str | Mapping[str, str],
    sources: Sequence[str] = (),
    timeout_s: float | None = None,
    environment: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Use:
    """Return a command line as the base of a study; its runs are processes of their own.

    Args:
        template: the command, split as a shell would, without a shell: ``{lr}`` stands for a parameter; ``{seed}``,
            ``{folder}``, ``{device}`` and ``{threads}`` are those of the run.
        metrics: a file that the command writes into the run's folder, ``"{folder}/metrics.json"``: a JSON object, JSON
            lines or a CSV table, of which the last row counts. Or metric → regular expression with one group, whose
            last match in the output is the value.
        sources: files that decide the numbers, and folders of such files, with wildcards (``"src/**/*.py"``); a change
            of their content makes new runs. Relative paths are of the working folder.
        timeout_s: seconds after which the command is ended, and its run fails.
        environment: variables of the command besides those of this process.
        parameters: what arms change: ``.swap("lr", [1e-3, 1e-2])``.

    Raises:
        LabError: a placeholder is no parameter, a parameter stands nowhere in the command, a source is missing.
    """
    if not isinstance(template, str):
        raise LabError(
            f"a command is one text, not {type(template).__name__}", hint='command("python train.py --lr {lr}", ...)'
        )
    names = {name.partition(".")[0].partition("[")[0] for _, name, _, _ in _parsed(template) if name is not None}
    unknown = sorted(names - {*parameters, *GIVEN})
    unused = sorted(parameters.keys() - names)
    matches = [match for pattern in sources for match in sorted(glob(pattern, recursive=True))]
    files = list(dict.fromkeys(file for match in matches for file in _files_of(match)))
    problems = [
        f"'{{{name}}}' is not a parameter: "
        + (f"give {name}=..." if name.isidentifier() else f"braces that are meant are written twice: {{{{{name}}}}}")
        for name in unknown
    ]
    problems += [f"parameter '{name}' does not stand in the command: write {{{name}}}" for name in unused]
    problems += [f"no source fits '{pattern}'" for pattern in sources if not glob(pattern, recursive=True)]
    problems += (
        [] if isinstance(metrics, str) else [line for item in metrics.items() for line in _pattern_problems(*item)]
    )
    problems += [f"'{name}' is filled by the run" for name in parameters if name in GIVEN]
    problems += [
        f"'{word}' is for a shell, and none reads this command: bash -c '...' runs one"
        for word in dict.fromkeys(shlex.split(template))
        if word in FOR_SHELLS
    ]
    if timeout_s is not None and not timeout_s > 0:
        problems.append(f"timeout_s must be more than 0 seconds, not {timeout_s}")
    if isinstance(metrics, str) and not metrics.startswith("{folder}/"):
        # a fixed place would hold the result of another run, of another worker, or of an earlier time
        problems.append(
            f"metrics must be in the run's own folder: '{{folder}}/{metrics.rpartition('/')[2]}'; a script that writes "
            "elsewhere gets {folder} as an argument, or its output is searched: metrics={name: pattern}"
        )
    if problems:
        raise LabError("this command cannot be run", where=template, hint="\n".join(problems))
    chosen: dict[str, Any] = {"template": template, "parameters": dict(parameters)}
    chosen |= {"metrics_file": metrics} if isinstance(metrics, str) else {"patterns": dict(metrics)}
    optional = {"sources": files, "timeout_s": timeout_s, "environment": dict(environment or {})}
    return Use("command", {**chosen, **{name: value for name, value in optional.items() if value}})


def _files_of(match: str) -> list[str]:
    """Return a source, or the files below a folder that is one, without hidden ones and compiled ones."""
    folder = Path(match)
    if not folder.is_dir():
        return [match]
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    inside = [(path, path.relative_to(folder).parts) for path in found]
    return [str(path) for path, parts in inside if not any(part[0] == "." or part == "__pycache__" for part in parts)]


def _pattern_problems(metric: str, pattern: str) -> list[str]:
    """Return why the output of a command cannot be searched for a metric."""
    try:
        groups = re.compile(pattern).groups
    except (re.error, TypeError) as error:
        return [f"the pattern of '{metric}' is no regular expression: {error} in {pattern!r}"]
    if groups == 1:
        return []
    return [f"the pattern of '{metric}' has {groups or 'no'} groups, and one is the number, such as (\\S+): {pattern}"]


def _parsed(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return the parts of a template.

    Raises:
        LabError: it cannot be read.
    """
    try:
        shlex.split(template)
        return list(string.Formatter().parse(template))
    except ValueError as error:
        is_brace = str(error) in _BRACES
        raise LabError(
            f"the command cannot be read: {_BRACES.get(str(error), error)}",
            where=template,
            hint="a brace that is meant is written twice: {{" if is_brace else "quotes come in pairs",
        ) from error
