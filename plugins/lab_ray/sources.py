"""The source of a study: what a node needs beyond the packages that are installed on it, and whether it is the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.errors import StoreError
from lab.study.run import Run
from lab_ray.files import inside

__all__ = ["differences", "record_of", "sources_of", "write_sources"]

MAX_BYTES = 16 * 2**20


def sources_of(file: str) -> dict[str, str]:
    """Path → text of a study's file and of the modules that it imported from beside it.

    Args:
        file: the study's file, after it was loaded; nothing comes of a study that has none.

    Raises:
        StoreError: these are more than 16 MiB; a study's folder is then not what should travel.
    """
    main = Path(file).absolute()
    if not file or not main.is_file():
        return {}
    paths = {main, *_beside(main.parent)}
    found = {path.relative_to(main.parent).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}
    if sum(map(len, found.values())) > MAX_BYTES:
        raise StoreError(
            f"the modules beside a study must be less than {MAX_BYTES // 2**20} MiB to travel with it",
            where=str(main.parent),
            hint="install them as a package on every node",
        )
    return found


def write_sources(sources: Mapping[str, str], folder: Path) -> None:
    """Write what ``sources_of`` gave; nothing outside of ``folder``."""
    for path, text in sources.items():
        place = inside(folder, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def record_of(run: Run) -> dict[str, Any]:
    """A run's record, with the version of torch, which its key covers too."""
    import torch

    return {**run.record(), "versions": {"torch": torch.__version__}}


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """In what the run that a node would train differs from the one that was asked for, a line each.

    Args:
        here, there: records of a run (``record_of``).
    """
    lines = [
        f"{name} {version} here, {there['versions'].get(name)} there"
        for name, version in here["versions"].items()
        if there["versions"].get(name) != version
    ]
    lines += [
        f"source of {name}: {'another' if name in there['code'] else 'not there'}"
        for name, digest in here["code"].items()
        if there["code"].get(name) != digest
    ]
    if here["data"] != there["data"]:
        lines.append("data: another content")
    return lines + list(_parted(here["experiment"], there["experiment"], ""))


def _parted(here: Any, there: Any, path: str) -> Iterator[str]:
    """Where two trees of plain values part."""
    if isinstance(here, dict) and isinstance(there, dict):
        for name in dict.fromkeys([*here, *there]):
            yield from _parted(here.get(name), there.get(name), f"{path}.{name}" if path else name)
    elif here != there:
        yield f"{path}: {here!r} here, {there!r} there"


def _beside(folder: Path) -> Iterator[Path]:
    """Files of the modules that were imported and that a file in ``folder`` finds beside itself."""
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        parts = name.split(".")
        places = (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py"))
        if path in places and parts[0] != "lab":
            yield path
