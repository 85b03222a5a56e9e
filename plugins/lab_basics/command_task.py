"""The task ``command``: a command line in a process of its own, whose metrics are read from a file or its output."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from lab import TaskRun
from lab.errors import RunFailed, did_you_mean
from lab.study.interrupt import dying_with_parent, kill_group, terminate_group

__all__ = ["command"]

OUTPUT = "output.txt"
POLL_S = 0.01
GRACE_S = 10.0
"""Seconds that a command has to end after SIGTERM."""
LINES = 15
"""Last lines of the output that a failure shows."""


def command(
    *,
    template: str,
    parameters: dict[str, Any],
    metrics_file: str | None = None,
    patterns: dict[str, str] | None = None,
    sources: list[str] | None = None,
    timeout_s: float | None = None,
    environment: dict[str, str] | None = None,
    run: TaskRun,
) -> dict[str, float]:
    """Run a command line and return its metrics; ``lab.command`` builds the reference to it.

    Args:
        template: the command with ``{parameter}``, ``{seed}``, ``{folder}``, ``{device}`` and ``{threads}``.
        parameters: placeholder → value.
        metrics_file: JSON object, JSON lines or CSV that the command writes.
        patterns: metric → regular expression with one group, searched in the output; the last match counts.
        sources: files whose content is part of the key.
        timeout_s: seconds after which the command is ended.
        environment: further environment variables.

    Raises:
        RunFailed: the command is not found, ends with another code than 0, takes too long, or gives no metric.
        KeyboardInterrupt: the run was asked to stop.
    """
    folder = str(run.folder)
    values = {**parameters, "seed": run.seed, "folder": folder, "device": run.device, "threads": run.threads}
    words = _words(template, values)
    variables = {**os.environ, "OMP_NUM_THREADS": str(run.threads), **(environment or {})}
    path = run.folder / OUTPUT
    # what an earlier attempt left must not pass for the result of this one
    found = None if metrics_file is None else Path(metrics_file.format_map(values))
    if found is not None and found.is_relative_to(run.folder):
        found.unlink(missing_ok=True)
    with path.open("wb") as output:
        _wait(words, output, variables, run, timeout_s, path)
    return _read_file(found, path) if found is not None else _search(patterns or {}, path)


def _problems(*, template: str, parameters: dict[str, Any], environment: dict[str, str] | None, **_: Any) -> list[str]:
    """Return why the command cannot be started here: its program, or the script of an interpreter, is not there."""
    values = {**parameters, "seed": 0, "folder": "folder", "device": "cpu", "threads": 1}
    program, *arguments = _words(template, values)
    path = (environment or {}).get("PATH", os.environ.get("PATH"))
    if shutil.which(program, path=path) is None:
        return [f"there is no program '{program}'\n  install it, or give its path"]
    script = arguments[0] if arguments else ""
    if Path(program).name.startswith("python") and script.endswith(".py") and not Path(script).is_file():
        beside = [file.name for file in Path(script).parent.glob("*.py")] if Path(script).parent.is_dir() else []
        hint = did_you_mean(Path(script).name, beside) or f"the working folder is {Path.cwd()}"
        return [f"there is no script '{script}'\n  {hint}"]
    return []


def _words(template: str, values: Mapping[str, Any]) -> list[str]:
    """Return the program and its arguments; split first, so that a value with spaces stays one argument."""
    return [word.format_map(values) for word in shlex.split(template)]


# Asked before anything is trained.
command.problems = _problems


def _wait(
    words: list[str], output: IO[bytes], variables: Mapping[str, str], run: TaskRun, timeout_s: float | None, path: Path
) -> None:
    try:
        if shutil.which(words[0], path=variables.get("PATH")) is None:
            raise FileNotFoundError(f"there is no program '{words[0]}'")
        # a session of its own, so that its children can be ended with it
        process = subprocess.Popen(
            **dying_with_parent(words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            start_new_session=True,
        )
    except OSError as error:
        raise RunFailed(
            f"the command cannot be started: {error.strerror or error}", where=shlex.join(words), hint="check its name"
        ) from error
    started = time.monotonic()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
                break
            if run.should_stop:
                raise KeyboardInterrupt
            if timeout_s is not None and time.monotonic() - started > timeout_s:
                raise RunFailed(
                    f"the command took longer than {timeout_s:g} s",
                    where=_tail(path),
                    hint="give it more: timeout_s=...",
                )
    finally:
        _end(process)
    if process.returncode != 0:
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        raise RunFailed(
            f"the command ended with {how}",
            where=f"{shlex.join(words)}\n{_tail(path)}",
            hint="the system ends programs by signal 9 when memory is short" if process.returncode == -9 else "",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, and whatever children it left."""
    if process.poll() is None:
        terminate_group(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    kill_group(process)
    process.wait()


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LINES:]) or "(no output)"


def _read_file(file: Path, output: Path) -> dict[str, float]:
    """Return the metrics in a JSON, JSON lines or CSV file.

    Raises:
        RunFailed: it is not there, or cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix.lower() == ".csv":
            rows: list[Any] = list(csv.DictReader(text.splitlines()))
            found = {name: _number(value) for name, value in rows[-1].items()} if rows else {}
        else:
            found = _last_object(text)
    except FileNotFoundError as error:
        raise RunFailed("the command wrote no metrics", where=f"{file}: not there\n{_tail(output)}") from error
    except (OSError, ValueError, IndexError) as error:
        raise RunFailed(f"the metrics cannot be read: {error}", where=str(file), hint="write a JSON object") from error
    if not isinstance(found, dict):
        raise RunFailed(
            f"the metrics are not an object but {type(found).__name__}",
            where=str(file),
            hint='write names with numbers: {"accuracy": 0.93}',
        )
    scores = {name: value for name, value in found.items() if isinstance(value, (int, float))}
    if not scores.keys() - {"epoch"}:
        others = ", ".join(f"'{name}' is {value!r}" for name, value in found.items() if name not in scores)
        raise RunFailed(f"the metrics hold no number: {others[:80]}", where=str(file), hint="write numbers")
    return scores


def _last_object(text: str) -> Any:
    """Return the JSON of a file, or of its last line.

    Raises:
        ValueError: neither is JSON; which line is not.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # several objects: JSON lines, of which the last counts
        if len(lines) < 2 or not error.msg.startswith("Extra data"):
            raise
    number, line = lines[-1]
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON: {error.msg} (column {error.colno})") from None


def _number(text: str | None) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _search(patterns: Mapping[str, str], output: Path) -> dict[str, float]:
    """Return the last match of every pattern.

    Raises:
        RunFailed: one matches nowhere, or matches something that is not a number.
    """
    text = output.read_text(encoding="utf-8", errors="replace")
    found: dict[str, float] = {}
    for name, pattern in patterns.items():
        matches = list(re.finditer(pattern, text))
        if not matches:
            raise RunFailed(
                f"'{name}' is not in the output: nothing matches {pattern}",
                where=_tail(output),
                hint=did_you_mean(name, re.findall(r"[A-Za-z_]\w+", text[-5000:])),
            )
        group = 1 if matches[-1].re.groups else 0
        start, end = matches[-1].span(group)
        number, hint = text[start:end], r"give the pattern one group that ends with the number: (\S+)"
        # "([0-9.]+)" finds the 2 of 2e-05, and "loss.*([0-9.]+)" the last digit of 0.25
        if re.match(r"\.?[0-9]|[eE][-+]?[0-9]", text[end:]) or re.search(
            r"[0-9]\.?$|(?<![\w)])[-+]$", text[:start][-3:]
        ):
            around = text[max(start - 20, 0) : end + 10].splitlines()
            whole = next((line for line in around if number in line), number)
            raise RunFailed(f"'{name}': {pattern} finds only a part of a number: {number!r} in {whole!r}", hint=hint)
        try:
            found[name] = float(number)
        except ValueError as error:
            raise RunFailed(f"'{name}' is not a number in the output: {number!r}", hint=hint) from error
    return found
