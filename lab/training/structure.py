"""Nested values described by structure, types and shapes, for messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["describe_structure"]

MAX_ITEMS = 6


def describe_structure(value: Any, *, depth: int = 3) -> str:
    """Return the structure of a batch, an output or a loss in one line.

    >>> import torch
    >>> describe_structure({"ids": torch.zeros(8, 12, dtype=torch.long), "mask": None})
    "{'ids': int64 (8, 12), 'mask': None}"
    """
    if isinstance(value, (Tensor, np.ndarray)):
        shape = "scalar" if not value.shape else f"({', '.join(map(str, value.shape))}{',' * (len(value.shape) == 1)})"
        return f"{str(value.dtype).removeprefix('torch.')} {shape}"
    if value is None:
        return "None"
    # by depth and MAX_ITEMS, so that a message stays one line
    if depth and isinstance(value, Mapping):
        parts = [f"{key!r}: {describe_structure(item, depth=depth - 1)}" for key, item in _first(value.items())]
        return f"{{{_joined(parts, len(value))}}}"
    if depth and isinstance(value, (tuple, list)):
        opening, closing = "()" if isinstance(value, tuple) else "[]"
        name = type(value).__name__ if hasattr(value, "_fields") else ""
        parts = [describe_structure(item, depth=depth - 1) for item in _first(value)]
        return f"{name}{opening}{_joined(parts, len(value))}{closing}"
    return type(value).__name__


def _first(items: Any) -> list[Any]:
    return [item for _, item in zip(range(MAX_ITEMS), items, strict=False)]


def _joined(parts: list[str], count: int) -> str:
    return ", ".join([*parts, *([f"… {count - len(parts)} more"] if count > len(parts) else [])])
