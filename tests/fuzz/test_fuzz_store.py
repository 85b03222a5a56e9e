"""Damaged stores, and stores that come from elsewhere: told, isolated, and nothing in them is run or followed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.sandbox import Sandbox, fuzz

FILES = ("experiment.json", "environment.json", "result.json", "metrics.jsonl", "model.safetensors")
READERS = (
    ("runs",),
    ("runs", "--sort", "valid_loss"),
    ("compare", "wide"),
    ("report", "wide"),
    ("runs", "prune", "--dry-run"),
    ("compare", "own"),
    ("runs", "show", "KEY"),
    ("run", "wide.py", "--plan"),
    ("runs", "why", "KEY", "KEY"),
)

PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.just("../../../outside/x")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=5,
)

DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("write"), st.binary(max_size=40)),
    st.tuples(st.just("json"), PLAIN),
    st.tuples(st.just("field"), st.integers(0, 40), PLAIN),
    st.tuples(st.sampled_from(["remove", "folder", "fifo", "link", "link out", "huge", "unreadable"])),
)


def damage(path: Path, how: tuple[Any, ...], outside: Path) -> None:
    """Do something to one file."""
    content = path.read_bytes()
    if how[0] == "flip":
        at = int(how[1] * len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << how[2]]) + content[at + 1 :] if content else b"")
    elif how[0] == "cut":
        path.write_bytes(content[: int(how[1] * len(content))])
    elif how[0] == "write":
        path.write_bytes(how[1])
    elif how[0] == "json":
        path.write_text(json.dumps(how[1]))
    elif how[0] == "field":
        _exchange(path, how[1], how[2])
    else:
        path.unlink()
        if how[0] == "folder":
            path.mkdir()
        elif how[0] == "fifo":
            os.mkfifo(path)
        elif how[0] == "link":
            path.symlink_to(path.name)
        elif how[0] == "link out":
            path.symlink_to(outside / "precious.txt")
        elif how[0] == "huge":
            path.write_text("[" * 100_000)
        elif how[0] == "unreadable":
            path.write_bytes(content)
            path.chmod(0)


def _exchange(path: Path, number: int, value: Any) -> None:
    """Put a value in the place of one inside a JSON file."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return
    places: list[tuple[Any, Any]] = []
    waiting = [found]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        places += [(item, key) for key in keys]
        waiting += [item[key] for key in keys]
    if places:
        owner, key = places[number % len(places)]
        owner[key] = value
        path.write_text(json.dumps(found))


@pytest.fixture
def keys(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "runs" / ".store").iterdir() if not path.name.startswith("."))


def test_every_damaged_store_can_be_read(sandbox: Sandbox, store: Path, keys: list[str], minutes: float) -> None:
    def try_once(values: tuple[int, str, tuple[Any, ...], int, bool]) -> None:
        run, name, how, reader, is_study = values
        sandbox.reset(store)
        key = keys[run % len(keys)]
        path = sandbox.work / "runs" / ("wide/study.json" if is_study else f".store/{key}/{name}")
        if path.is_file():
            damage(path, how, sandbox.root / "outside")
        sandbox.lab(*(word.replace("KEY", key) for word in READERS[reader % len(READERS)]))

    values = st.tuples(st.integers(0, 20), st.sampled_from(FILES), DAMAGE, st.integers(0, 20), st.booleans())
    without_parameters = (0, "experiment.json", ("field", 38, None), 6, False)
    fuzz(try_once, values, minutes, examples=40, cases=(without_parameters,))


def test_a_damaged_store_is_trained_again_where_it_must(
    sandbox: Sandbox, store: Path, keys: list[str], minutes: float
) -> None:
    sandbox.reset(store)
    expected = sandbox.lab("compare", "wide", "--format", "csv")[1]

    def try_once(values: tuple[int, str, tuple[Any, ...]]) -> None:
        run, name, how = values
        sandbox.reset(store)
        path = sandbox.work / "runs" / ".store" / keys[run % len(keys)] / name
        if path.is_file():
            damage(path, how, sandbox.root / "outside")
        code, _, err = sandbox.lab("run", "wide.py", "--quiet", "--workers", "1")
        assert code in (0, 2), err
        if code == 0:
            assert _without_times(sandbox.lab("compare", "wide", "--format", "csv")[1]) == _without_times(expected)

    fuzz(try_once, st.tuples(st.integers(0, 20), st.sampled_from(FILES), DAMAGE), minutes, examples=5)


def _without_times(table: str) -> list[str]:
    return [",".join(line.split(",")[:4]) for line in table.splitlines()]


EVIL = 'open("../outside/PWNED", "w").write("code from the store ran")\n'


def test_nothing_that_a_store_names_is_run(sandbox: Sandbox, store: Path, keys: list[str], minutes: float) -> None:
    def try_once(values: tuple[int, str, str, str]) -> None:
        run, field, name, command = values
        sandbox.reset(store)
        for study in ("wide.py", "own.py"):  # of somebody else: the files are not here
            (sandbox.work / study).unlink()
        folder = sandbox.work / "runs" / ".store" / keys[run % len(keys)]
        (folder / "artefacts").mkdir(exist_ok=True)
        (folder / "artefacts" / "evil.py").write_text(EVIL)
        (sandbox.work / "evil.py").write_text(EVIL)
        record = json.loads((folder / "experiment.json").read_text())
        if field == "file":
            record["file"] = name
        else:
            record["experiment"][field] = {"component": name, "plugin": "local", "params": {}}
        (folder / "experiment.json").write_text(json.dumps(record))
        arguments = {"recommend": ("--user", "1"), "search": ("--text", "a"), "predict": ("t.csv",)}.get(command, ())
        sandbox.lab(command, folder.name, *arguments)

    names = st.sampled_from(
        [
            "evil.py",
            "artefacts/evil.py",
            "evil:main",
            "evil.py:Net",
            "os:system",
            "runpy:run_path",
            "subprocess:run",
            "a:b",
        ]
    )
    commands = st.sampled_from(["reproduce", "generate", "recommend", "search", "predict"])
    fields = st.sampled_from(["file", "architecture", "loss", "dataset", "optimizer"])
    fuzz(try_once, st.tuples(st.integers(0, 20), fields, names, commands), minutes, examples=15)
