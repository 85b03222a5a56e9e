"""Source files of a study that are sent to nodes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import StoreError
from lab_ray.files import inside

__all__ = ["sources_of", "write_sources"]

MAX_BYTES = 16 * 2**20


def sources_of(file: str) -> dict[str, str]:
    """Return the text of a study file and of the modules next to it that it imported, by path.

    Args:
        file: the study file, after it was loaded; "" gives an empty mapping.

    Raises:
        StoreError: the files have more than 16 MiB.
    """
    main = Path(file).absolute()
    if not file or not main.is_file():
        return {}
    paths = {main, *_beside(main.parent)}
    found = {path.relative_to(main.parent).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}
    if sum(map(len, found.values())) > MAX_BYTES:
        raise StoreError(
            f"the modules next to a study have more than {MAX_BYTES // 2**20} MiB, too much to send",
            where=str(main.parent),
            hint="install them as a package on every node",
        )
    return found


def write_sources(sources: Mapping[str, str], folder: Path) -> None:
    """Write the files of ``sources_of``; nothing is written outside ``folder``."""
    for path, text in sources.items():
        target = inside(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _beside(folder: Path) -> Iterator[Path]:
    """Yield the files of imported modules that a file in ``folder`` finds next to itself."""
    # From sys.modules, not from the folder, so that neither data nor other studies are sent.
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        parts = name.split(".")
        candidates = (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py"))
        if path in candidates and parts[0] != "lab":
            yield path
