"""The source of a study: what a node needs beyond the packages that are installed on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import StoreError
from lab_ray.files import inside

__all__ = ["sources_of", "write_sources"]

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


def _beside(folder: Path) -> Iterator[Path]:
    """Files of the modules that were imported and that a file in ``folder`` finds beside itself."""
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        parts = name.split(".")
        places = (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py"))
        if path in places and parts[0] != "lab":
            yield path
