"""Keys: what decides the numbers of a run, as a hash."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from lab.study.experiment import ResolvedExperiment

__all__ = ["code_fingerprints", "key_of"]

KERNEL = Path(__file__).parents[1]
DECISIVE_ROOMS = ("training", "registry", "study/experiment.py", "study/run.py")
"""The parts of the kernel that decide numbers; its command line and reports do not."""


def key_of(experiment: ResolvedExperiment, seed: int, data_fingerprint: str, device: str) -> str:
    """The key of a run: the first 20 hexadecimal digits of a sha256.

    It covers the resolved experiment, the seed, the kind of device, the fingerprint of the data, torch's version, and
    the source of the kernel and of every package that supplies a component.
    """
    import torch

    content = {
        "experiment": experiment.to_json(),
        "seed": seed,
        "device": device,
        "data": data_fingerprint,
        "code": code_fingerprints(experiment),
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def code_fingerprints(experiment: ResolvedExperiment) -> dict[str, str]:
    """Package → hash of its source, for the kernel and every package that supplies a component of the experiment."""
    owners = {component.factory.__module__.partition(".")[0] for component in experiment.all_components()}
    packages = {name: folder for name in sorted(owners) if (folder := _package_folder(name)) is not None}
    found = {name: source_fingerprint(folder) for name, folder in packages.items()}
    return {"lab": _kernel_fingerprint(), **found}


def _package_folder(name: str) -> Path | None:
    """Where a package's source is; None for the kernel, for what its version says enough of, and for files."""
    if name in ("lab", "torch", "torchmetrics", "builtins", "__main__"):
        return None
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file).parent if file is not None and Path(file).name == "__init__.py" else None


@lru_cache
def _kernel_fingerprint() -> str:
    return _digest(source_fingerprint(KERNEL / room) for room in DECISIVE_ROOMS)


@lru_cache
def source_fingerprint(path: Path) -> str:
    """A hash of the syntax trees of a file or of all Python files below a folder.

    Comments, layout and docstrings do not count.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return _digest(_fingerprints_of(files, path))


def _fingerprints_of(files: list[Path], root: Path) -> Iterator[str]:
    for file in files:
        yield f"{file.relative_to(root)} {tree_fingerprint(file.read_text(encoding='utf-8'))}"


def tree_fingerprint(source: str) -> str:
    """A hash of what a source says, however it is laid out.

    >>> tree_fingerprint("x = 1  # one") == tree_fingerprint("x=1")
    True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if _has_docstring(node):
            node.body[0] = ast.Pass()  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _has_docstring(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def _digest(parts: Any) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
