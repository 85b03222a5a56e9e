"""Keys: what decides the numbers of a run, as a hash."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from lab.cache import file_digest
from lab.registry.values import without_docstrings
from lab.study.experiment import ResolvedExperiment
from lab.study.remembered import remembered

__all__ = ["code_fingerprints", "file_fingerprints", "key_of"]

KERNEL = Path(__file__).parents[1]
DECISIVE_ROOMS = ("training", "registry", "study/experiment.py", "study/build.py", "study/run.py")
"""The parts of the kernel that decide numbers; its command line and reports do not."""


def key_of(experiment: ResolvedExperiment, seed: int, data_fingerprint: str, device: str) -> str:
    """The key of a run: the first 20 hexadecimal digits of a sha256.

    It covers the resolved experiment, the seed, the kind of device, the fingerprint of the data, the files that
    components are given, torch's version, and the source of the kernel and of every package that supplies a component.
    """
    import torch

    content = {
        "experiment": experiment.to_json(),
        "seed": seed,
        "device": device,
        "data": data_fingerprint,
        "code": code_fingerprints(experiment),
        "files": file_fingerprints(experiment),
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def code_fingerprints(experiment: ResolvedExperiment) -> dict[str, str]:
    """Package → hash of its source, for the kernel and every package that supplies a component of the experiment."""
    modules = sorted({getattr(c.factory, "__module__", None) or "builtins" for c in experiment.all_components()})
    sources = dict(found for module in modules if (found := _source_of(module)) is not None)
    return {"lab": _kernel_fingerprint(), **{name: source_fingerprint(path) for name, path in sources.items()}}


def file_fingerprints(experiment: ResolvedExperiment) -> dict[str, str]:
    """File → hash of its content, for every file that a parameter of type ``Path`` names; a folder counts by its name.

    Files of the dataset are left out: what is read from them is in the fingerprint of the data.
    """
    data = {id(component) for component in experiment.component("dataset").walk()}
    components = (component for component in experiment.all_components() if id(component) not in data)
    given = (value for component in components for value in component.params.values())
    return {str(path): file_digest(path)[:16] for path in given if isinstance(path, Path) and path.is_file()}


def _source_of(module: str) -> tuple[str, Path] | None:
    """The package that a module belongs to and its folder, or a single module and its file.

    None for the kernel, for torch, whose version is in the key, and for study files: a component that is written in
    one carries its own hash.
    """
    if module.partition(".")[0] in ("lab", "torch", "torchmetrics", "builtins", "__main__"):
        return None
    if module.startswith("lab_experiment"):
        return None
    parts = module.split(".")
    for name in (".".join(parts[:length]) for length in range(1, len(parts) + 1)):
        file = Path(getattr(sys.modules.get(name), "__file__", None) or "")
        if file.name == "__init__.py":
            return name, file.parent
        if name == module and file.suffix == ".py":
            return name, file
    return None


@lru_cache
def _kernel_fingerprint() -> str:
    return _digest(source_fingerprint(KERNEL / room) for room in DECISIVE_ROOMS)


@lru_cache
def source_fingerprint(path: Path) -> str:
    """A hash of the syntax trees of a file or of all Python files below a folder.

    Comments, layout and docstrings do not count.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    found = remembered([file.read_text(encoding="utf-8") for file in files], tree_fingerprint)
    return _digest(f"{file.relative_to(path)} {fingerprint}" for file, fingerprint in zip(files, found, strict=True))


def tree_fingerprint(source: str) -> str:
    """A hash of what a source says, however it is laid out.

    >>> tree_fingerprint("x = 1  # one") == tree_fingerprint("x=1")
    True
    """
    return hashlib.sha256(ast.dump(without_docstrings(ast.parse(source))).encode()).hexdigest()


def _digest(parts: Any) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
