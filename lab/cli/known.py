"""Known plugins: the list ``docs/known-plugins.toml``, which anybody can add to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from lab.errors import LabError

__all__ = ["KnownPlugin", "known_plugins"]


@attrs.frozen
class KnownPlugin:
    """One entry of the list.

    Attributes:
        package: its name in a package index.
        summary: a sentence.
        adds: kind → names; a kind is a registry, ``commands``, ``report_sections`` or ``learner_methods``.
        install: what ``lab install`` takes: the package, an address or a folder of the repository of ``lab``.
        documentation: an address, or a page of these docs.
        license: an SPDX expression.
        lab: the versions of ``lab`` that it was tested with, as in a dependency: ``>=0.1,<0.2``.
    """

    package: str
    summary: str
    adds: Mapping[str, tuple[str, ...]]
    install: str
    documentation: str
    license: str
    lab: str


def known_plugins(file: Path | None = None) -> list[KnownPlugin]:
    """Return the list, by package.

    Raises:
        LabError: an entry breaks the contract of the list.
    """
    import tomllib

    file = file or _file()
    given = tomllib.loads(file.read_text(encoding="utf-8"))
    found = [_checked(entry, f"{file.name}, entry {number}") for number, entry in enumerate(given["plugin"], 1)]
    packages = [plugin.package for plugin in found]
    for before, after in itertools.pairwise(packages):
        if before >= after:
            raise LabError(f"'{after}' comes after '{before}'", where=file.name, hint="one entry each, by alphabet")
    return found


def _file() -> Path:
    # part of an installed package, beside the packages in a checkout
    packed = Path(__file__).parent / "known-plugins.toml"
    return packed if packed.is_file() else Path(__file__).parents[2] / "docs" / "known-plugins.toml"


def _checked(entry: Mapping[str, Any], where: str) -> KnownPlugin:
    fields = [field.name for field in attrs.fields(KnownPlugin)]
    if sorted(entry) != sorted(fields):
        missing, strange = sorted({*fields} - {*entry}), sorted({*entry} - {*fields})
        problem = f"lacks {missing[0]}" if missing else f"has {strange[0]}, which means nothing"
        raise LabError(f"the entry {problem}", where=where, hint=f"fields: {', '.join(fields)}")
    adds = entry["adds"]
    texts = [entry[name] for name in fields if name != "adds"]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise LabError("every field but adds is a text that is not empty", where=where)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry["package"]):
        raise LabError(f"'{entry['package']}' is not how package indexes write a name", where=where, hint="lab-cosine")
    if not isinstance(adds, dict) or not adds or not all(isinstance(names, list) and names for names in adds.values()):
        raise LabError("adds has a list of names for each kind", where=where, hint='adds = {samplers = ["striped"]}')
    if not entry["summary"].endswith(".") or len(entry["summary"]) > 100:
        raise LabError("summary is a sentence of at most 100 characters", where=where)
    return KnownPlugin(**{**entry, "adds": {kind: tuple(names) for kind, names in adds.items()}})
