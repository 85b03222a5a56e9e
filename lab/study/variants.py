"""Variants of a study: the same question asked with other settings, arms or seeds, or by another file of the same name.

``study.json`` holds the variant that was run last, and under ``variants`` the others, in the order in which they were
run. Changed code makes no new variant, since the runs of the old code are no longer needed. A variant is replaced by
one with the same settings that has all its arms and seeds.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.errors import StoreError, UnknownNameError
from lab.study import files
from lab.study.store import Store

__all__ = [
    "FILE",
    "all_variants",
    "choose",
    "labels",
    "merged",
    "name_variant",
    "place_of",
    "read_content",
    "replaces",
    "settings_of",
    "study_names",
    "unreadable",
]

FILE = "study.json"
MAX_SHOWN = 4
"""Settings in the label of a variant at most."""

Content = Mapping[str, Any]
"""A variant as ``study.json`` holds it."""


def place_of(file: str) -> str:
    """Return a digest of the path of a study's file, to distinguish two files of one name."""
    try:
        path = os.path.abspath(file) if file else ""
    except OSError:
        # the working folder was removed
        path = file
    return _digest(path)


def all_variants(content: Content) -> list[Content]:
    """Return every variant of a study's record, the one run last at the end."""
    # the last variant lies at the top level, where versions of lab without variants wrote and read it
    last = {name: value for name, value in content.items() if name != "variants"}
    return [_named(each) for each in (*content.get("variants", ()), last)]


def _named(content: Content) -> Content:
    return content if content.get("variant") else {**content, "variant": name_variant(content)}


def merged(before: Sequence[Content], new: Content) -> dict[str, Any]:
    """Return the record of a study in which ``new`` was run after the variants that it had."""
    # a variant run again moves to the end, since the last one is shown by default
    kept = [each for each in before if not replaces(new, each)]
    return {**new, "variants": kept} if kept else dict(new)


def replaces(new: Content, old: Content) -> bool:
    """Return whether a variant takes the place of another: it is the same one, or has all arms and seeds of it."""
    return bool(old["variant"] == new["variant"]) or _covers(new, old)


def name_variant(content: Content) -> str:
    """Return eight digits that identify a variant by its file, settings, arms and seeds, not by its code."""
    search = content.get("search")
    # rounds add trials, and a study must stay one variant over its rounds
    arms = search if search else _arms(content, with_trials=False)
    return _digest([_scope(content), arms, content["seeds"]])[:8]


def _scope(content: Content) -> Any:
    place = content.get("place") or place_of(content["file"])
    return [place, content.get("device", "cpu"), settings_of(content["base"]), content.get("search"), *_rules(content)]


def _rules(content: Content) -> list[Any]:
    # nothing is added without rules, so that variants of older records keep their names
    return [content["rules"]] if content.get("rules") else []


def _arms(content: Content, *, with_trials: bool = True) -> dict[str, Any]:
    arms = content["arms"].items()
    return {name: settings_of(arm["difference"]) for name, arm in arms if with_trials or "trial" not in arm}


def _covers(new: Content, old: Content) -> bool:
    if _scope(new) != _scope(old):
        return False
    arms = _arms(new)
    same_arms = all(name in arms and arms[name] == difference for name, difference in _arms(old).items())
    return same_arms and set(old["seeds"]) <= set(new["seeds"])


def settings_of(value: Any) -> Any:
    """Return plain values without hashes of sources and versions of plugins, which depend on code."""
    if isinstance(value, Mapping):
        return {name: settings_of(item) for name, item in value.items() if name != "plugin"}
    if isinstance(value, (list, tuple)):
        return [settings_of(item) for item in value]
    return re.sub(r"#[0-9a-f]{6,64}\b", "", value) if isinstance(value, str) else value


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def labels(variants: Sequence[Content]) -> dict[str, str]:
    """Return variant → the settings in which it differs from the others; empty for one that is alone."""
    described = {each["variant"]: _described(each) for each in variants}
    names = dict.fromkeys(name for settings in described.values() for name in settings)
    differing = [name for name in names if len({settings.get(name) for settings in described.values()}) > 1]
    # two files of one name in two folders: only their paths differ
    if len(variants) > 1 and not differing:
        differing = ["file"]
    return {name: _label(settings, differing) for name, settings in described.items()}


def _label(settings: Mapping[str, str], names: Sequence[str]) -> str:
    found = [f"{name}={settings[name]}" for name in names if name in settings]
    more = len(found) - MAX_SHOWN
    return ", ".join([*found[:MAX_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _described(content: Content) -> dict[str, str]:
    arms = list(content["arms"])[1:]
    found = {
        "file": content["file"],
        "arms": "+".join(arms) if len(arms) <= MAX_SHOWN else f"{len(arms)} arms",
        "seeds": _numbers(content["seeds"]),
        "device": content.get("device", "cpu"),
    }
    for path, value in _flat(settings_of(content["base"]), ""):
        found[path] = value
    return {name: " ".join(value.split())[:60] for name, value in found.items()}


def _numbers(seeds: Sequence[int]) -> str:
    if list(seeds) == list(range(len(seeds))):
        return str(len(seeds))
    return "+".join(map(str, seeds[:8])) + ("…" if len(seeds) > 8 else "")


def _flat(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and "component" in value:
        params = value.get("params")
        inner = params.items() if isinstance(params, Mapping) else ()
        own = [(path, str(value["component"]))]
        return own + [row for name, item in inner for row in _flat(item, f"{path}.{name}")]
    if isinstance(value, Mapping):
        return [row for name, item in value.items() for row in _flat(item, f"{path}.{name}" if path else str(name))]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [row for index, item in enumerate(value) for row in _flat(item, f"{path}[{index}]")]
    return [(path, str(value))]


def choose(variants: Sequence[Content], wanted: str, study: str) -> Content:
    """Return the variant called ``wanted``, by its first digits or its label; the one run last if that is empty.

    Raises:
        UnknownNameError: there is none, or several; all are listed.
    """
    if not wanted:
        return variants[-1]
    known = labels(variants)
    found = [each for each in variants if each["variant"].startswith(wanted) or known[each["variant"]] == wanted]
    if len(found) == 1:
        return found[0]
    lines = [f"{each['variant']}  {known[each['variant']] or 'the only one'}" for each in reversed(variants)]
    what = "no" if not found else "more than one"
    raise UnknownNameError(f"{what} variant of '{study}' is called '{wanted}'", hint="\n".join(["variants:", *lines]))


# --- reading ----------------------------------------------------------------------------------------------------------


def study_names(store: Store) -> list[str]:
    """Return the names of the studies that have a record."""
    try:
        with os.scandir(store.root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
        return sorted(name for name in names if os.path.lexists(store.root / name / FILE))
    except (OSError, ValueError):
        return []


def read_content(folder: Path) -> dict[str, Any]:
    """Return the content of ``study.json`` in a study's folder.

    Raises:
        FileNotFoundError: there is none.
        StoreError: it is damaged.
    """
    try:
        return files.from_plain(files.read_json(folder / FILE, files.STUDY, limit=files.MAX_LONG_FILE))  # type: ignore[no-any-return]
    except files.DamagedError as error:
        raise unreadable(folder, str(error.where).removeprefix(f"{folder / FILE}: ")) from error


def unreadable(folder: Path, why: str) -> StoreError:
    """Return the error that a study's record is damaged."""
    return StoreError(
        f"the record of the study '{folder.name}' is damaged",
        where=f"{folder / FILE}: {why}",
        hint="lab run writes it again; finished runs are found, not trained again",
    )
