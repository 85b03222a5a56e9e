"""Differences between the inputs of two keys, one line each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["differing"]

WORDS = {
    "code": "source of {}",
    "files": "file given to {}",
    "state": "what {} holds",
    "packages": "version of {}",
    "variables": "environment variable {}",
    "data": "fingerprint of the data",
    "device": "kind of device",
    "hooks": "hook {} of the study file",
    "processes": "number of processes",
    "seed": "seed",
    "torch": "version of torch",
}
HASHED = ("code", "files", "state", "variables", "hooks", "data")
"""Parts whose values are hashes, so only the fact that they differ can be shown."""


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the differences between two contents of keys, as returned by ``lab.study.keys.key_content``.

    >>> differing({"seed": 0, "code": {"lab": "1"}}, {"seed": 1, "code": {"lab": "2"}})
    ['seed: 0 and 1', 'source of lab: differs']
    """
    lines = list(_experiment(one.get("experiment", {}), other.get("experiment", {}), ""))
    for part, words in WORDS.items():
        here, there = one.get(part), other.get(part)
        if isinstance(here, Mapping) or isinstance(there, Mapping):
            here, there = here or {}, there or {}
            for name in sorted({*here, *there}):
                if here.get(name) != there.get(name):
                    lines.append(f"{words.format(name)}: {_difference(part, here.get(name), there.get(name))}")
        elif here != there:
            lines.append(f"{words}: {_difference(part, here, there)}")
    # the seed first: two seeds of one arm are the usual case, and nothing else then matters
    return sorted(lines, key=lambda line: not line.startswith("seed"))


def _difference(part: str, here: Any, there: Any) -> str:
    if here is None or there is None:
        return "only in the second" if here is None else "only in the first"
    return "differs" if part in HASHED else f"{_shown(here)} and {_shown(there)}"


def _experiment(one: Any, other: Any, path: str) -> Iterator[str]:
    """Yield the differences of two experiments by path; parameters are compared only within one component."""
    if one == other:
        return
    if _is_component(one) and _is_component(other):
        if _plain(one["component"]) == _plain(other["component"]):
            yield from _experiment(one["params"], other["params"], path)
            if one["params"] == other["params"]:
                yield from _types(one.get("types", {}), other.get("types", {}), path)
            if one["component"] != other["component"]:
                # same name and parameters, but another source hash: the user's class was edited
                yield f"{path}: {_plain(one['component'])} has another definition or other defaults"
        else:
            yield f"{path}: {_shown(one)} and {_shown(other)}"
    elif isinstance(one, list) and isinstance(other, list) and all(map(_is_component, [*one, *other])):
        yield from _components(one, other, path)
    elif isinstance(one, dict) and isinstance(other, dict) and not (_is_component(one) or _is_component(other)):
        for name in dict.fromkeys([*one, *other]):
            yield from _experiment(one.get(name), other.get(name), f"{path}.{name}" if path else name)
    else:
        yield f"{path}: {_shown(one)} and {_shown(other)}"


def _types(one: dict[str, str], other: dict[str, str], path: str) -> Iterator[str]:
    """Yield the differences of types, where JSON does not tell two values apart."""
    for place in dict.fromkeys([*one, *other]):
        here, there = one.get(place, "as in JSON"), other.get(place, "as in JSON")
        if here != there:
            yield f"{path}.{place.replace('/', '.')}: type {here} and type {there}"


def _components(one: list[Any], other: list[Any], path: str) -> Iterator[str]:
    """Yield the differences of a slot; components of one name are compared with each other."""
    # a slot with one component each is a swap, shown as one line from the first to the second
    if len(one) == len(other) == 1:
        yield from _experiment(one[0], other[0], path)
        return
    here, there = ({_plain(item["component"]): item for item in items} for items in (one, other))
    for name in dict.fromkeys([*here, *there]):
        if name in here and name in there:
            yield from _experiment(here[name], there[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: only in the {'first' if name in here else 'second'}"


def _is_component(value: Any) -> bool:
    return isinstance(value, dict) and "component" in value


def _shown(value: Any) -> str:
    if _is_component(value):
        return _plain(value["component"])
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _plain(name: str) -> str:
    """Return a component's name without the hash of its source."""
    return name.partition("#")[0]
