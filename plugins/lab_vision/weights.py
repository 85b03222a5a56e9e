"""Weights of files: published ones, and those that a finished run left."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lab.errors import DataError, ShapeError, StoreError

__all__ = ["load_weights"]

LAST = "model.safetensors"
"""What a finished run calls the weights it ended with."""

MAX_NAMES = 5


def load_weights(model: nn.Module, path: Path, *, output: str, hint: str = "a file, or a run's folder") -> None:
    """Load weights from a file, or those that a finished run ended with.

    Args:
        model: what they are loaded into.
        path: a ``.pth`` or ``.safetensors`` file, or the folder of a run, ``runs/.store/<key>``.
        output: name of the model's last layer; it keeps its own weights where those of the file are for other classes.
        hint: what to give where there is no such file.

    Raises:
        DataError: the file is not there, or holds more than tensors; nothing of it is executed.
        ShapeError: they are for pictures of other channels.
        StoreError: the weights belong to another architecture; names are given.
    """
    path = path / LAST if path.is_dir() else path
    if not path.is_file():
        raise DataError("there are no such weights", where=str(path), hint=hint)
    expected = model.state_dict()
    found = _without_other_classes(_read(path), expected, output)
    _check_channels(found, expected, path)
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    problems = _differences(found, expected, counters)
    if problems:
        raise StoreError("these weights belong to another architecture", where=str(path), hint="\n".join(problems))
    model.load_state_dict(found, strict=False)


def _without_other_classes(found: dict[str, Tensor], expected: Mapping[str, Tensor], output: str) -> dict[str, Tensor]:
    """Weights of a file; its last layer is replaced by the model's own where it is for other classes."""
    name = f"{output}.weight"
    if name not in found or name not in expected or found[name].shape == expected[name].shape:
        return found
    body = {each: tensor for each, tensor in found.items() if not each.startswith(f"{output}.")}
    return body | {each: tensor for each, tensor in expected.items() if each.startswith(f"{output}.")}


def _check_channels(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    first = next((name for name, tensor in expected.items() if tensor.dim() == 4), "")
    if first in found and found[first].shape[1:2] != expected[first].shape[1:2]:
        channels = found[first].shape[1] if found[first].dim() == 4 else "other"
        raise ShapeError(f"these weights are for pictures of {channels} channels", where=str(path), hint="grey=False")


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise DataError("the weights cannot be read", where=f"{path}: {error}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            "this file holds more than tensors, so it is refused", where=str(path), hint="nothing in it was executed"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise DataError("the weights cannot be read", where=f"{path}: {str(error).splitlines()[0]}") from error
    if not isinstance(content, Mapping) or not all(isinstance(each, Tensor) for each in content.values()):
        raise DataError("this file holds more than named tensors", where=str(path), hint="save model.state_dict()")
    return dict(content)


def _differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: set[str]) -> list[str]:
    told = []
    for what, names in (
        ("missing", expected.keys() - found.keys() - optional),
        ("unexpected", found.keys() - expected.keys()),
    ):
        if names:
            shown = ", ".join(sorted(names)[:MAX_NAMES])
            told.append(f"{what}: {shown}" + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""))
    wrong = [name for name in found.keys() & expected.keys() if found[name].shape != expected[name].shape]
    return told + [
        f"{name}: {list(found[name].shape)} in the file, {list(expected[name].shape)} in the model"
        for name in sorted(wrong)[:MAX_NAMES]
    ]
