"""Loading of initial weights: published ones, and those of finished runs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lab.errors import DataError, ShapeError, StoreError

__all__ = ["load_weights"]

LAST = "model.safetensors"
"""File with the weights of a finished run."""

MAX_NAMES = 5


def load_weights(
    model: nn.Module, path: Path, *, output: str, hint: str = "a file, or a run's folder", skip: str = ""
) -> None:
    """Load weights from a file, or the final weights of a finished run.

    Args:
        model: the model.
        path: a ``.pth`` or ``.safetensors`` file, or the folder of a run, ``runs/.store/<key>``.
        output: name of the model's last layer, which keeps its weights if those of the file are for other classes.
        hint: the hint of the error if there is no such file.
        skip: weights of the file whose names begin with this are not used; empty uses all.

    Raises:
        DataError: the file does not exist, or contains more than tensors; nothing in it is executed.
        ShapeError: the weights are for pictures with other channels.
        StoreError: the weights belong to another architecture; names are given.
    """
    path = path / LAST if path.is_dir() else path
    if not path.is_file():
        raise DataError("weights not found", where=str(path), hint=hint)
    expected = model.state_dict()
    found = {name: tensor for name, tensor in _read(path).items() if not (skip and name.startswith(skip))}
    if skip:
        # What is skipped stands in place of the model's own last layer.
        found = {name: expected[name] for name in expected if name.startswith(f"{output}.")} | found
    found = _without_other_classes(found, expected, output)
    _check_channels(found, expected, path)
    # Published weights are older than these counters, which only a momentum of None uses.
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    problems = _differences(found, expected, counters)
    if problems:
        raise StoreError("these weights belong to another architecture", where=str(path), hint="\n".join(problems))
    model.load_state_dict(found, strict=False)


def _without_other_classes(found: dict[str, Tensor], expected: Mapping[str, Tensor], output: str) -> dict[str, Tensor]:
    """Return the weights with the model's own last layer if that of the file is for other classes."""
    name = f"{output}.weight"
    if name not in found or name not in expected or found[name].shape == expected[name].shape:
        return found
    body = {each: tensor for each, tensor in found.items() if not each.startswith(f"{output}.")}
    return body | {each: tensor for each, tensor in expected.items() if each.startswith(f"{output}.")}


def _check_channels(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    first = next((name for name, tensor in expected.items() if tensor.dim() == 4), "")
    if first in found and found[first].shape[1:2] != expected[first].shape[1:2]:
        channels = found[first].shape[1] if found[first].dim() == 4 else "other"
        raise ShapeError(f"these weights are for pictures of {channels} channels", where=str(path), hint="gray=False")


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise DataError("the weights cannot be read", where=f"{path}: {error}") from error
    try:
        # weights_only refuses everything but tensors and containers, without executing it.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            "this file contains more than tensors, so it is not loaded",
            where=str(path),
            hint="nothing in it was executed",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataError("the weights cannot be read", where=f"{path}: {str(error).splitlines()[0]}") from error
    if not isinstance(content, Mapping) or not all(isinstance(each, Tensor) for each in content.values()):
        raise DataError("this file contains more than named tensors", where=str(path), hint="save model.state_dict()")
    return dict(content)


def _differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: set[str]) -> list[str]:
    lines = []
    for what, names in (
        ("missing", expected.keys() - found.keys() - optional),
        ("unexpected", found.keys() - expected.keys()),
    ):
        if names:
            shown = ", ".join(sorted(names)[:MAX_NAMES])
            lines.append(f"{what}: {shown}" + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""))
    wrong = [name for name in found.keys() & expected.keys() if found[name].shape != expected[name].shape]
    return lines + [
        f"{name}: {list(found[name].shape)} in the file, {list(expected[name].shape)} in the model"
        for name in sorted(wrong)[:MAX_NAMES]
    ]
