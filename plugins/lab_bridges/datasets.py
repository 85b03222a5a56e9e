"""Datasets of Hugging Face on disk: columns of numbers or pictures with a target, read into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from lab.errors import DataError, LabError, ParameterError, UnknownNameError, describe
from lab.training.data import Data

__all__ = ["ColumnsData", "Pictures", "hf_dataset"]

Splits = Mapping[str, Any]
OWNER = "dataset 'hf_dataset'"


@attrs.define(eq=False, kw_only=True)
class ColumnsData(Data):
    """Numbers or pictures with a target.

    Attributes:
        input_size: numbers per example; of pictures channels × height × width.
        output_size: number of classes, or 1.
        class_names: names of the classes by number; empty if the target is a value.
        channels, image_size: of pictures; 0 otherwise.
    """

    input_size: int
    output_size: int
    class_names: tuple[str, ...] = ()
    channels: int = 0
    image_size: tuple[int, int] = (0, 0)

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, the class number of each example, unless the target is a value."""
        if not self.class_names:
            return {}
        return {"targets": split.target if isinstance(split, Pictures) else split.tensors[-1]}


class Pictures:
    """Pictures (N, C, H, W) uint8 with targets, given out as floats between 0 and 1."""

    def __init__(self, pixels: Tensor, target: Tensor) -> None:
        self.pixels, self.target = pixels, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.pixels[index].float() / 255, self.target[index]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        return [self[index] for index in indices]


def hf_dataset(
    *,
    path: Path,
    input: str | tuple[str, ...],  # noqa: A002 (the name that users of such datasets expect)
    target: str,
    task: Literal["classes", "value"] | None = None,
    train: str = "train",
    valid: str | float = "validation",
    test: str = "",
) -> ColumnsData:
    """A dataset of Hugging Face that ``save_to_disk`` wrote, read into memory; nothing is downloaded.

    Its fingerprint covers the content of the columns that are used, so another copy of the folder gives the same runs.

    Args:
        path: the folder.
        input: columns of numbers, or of lists of numbers of one length, side by side; or one column of pictures of one
            size.
        target: column of class labels, texts, integers from 0 or booleans; or of numbers to be predicted.
        task: ``classes`` or ``value``; None takes ``value`` for floats and ``classes`` otherwise.
        train: split to train on; a folder without splits is ``train``.
        valid: split to validate on, or the fraction of the training split that is held out, its last rows.
        test: split to test on; none if empty.

    Shapes:
        inputs (B, input_size) float, or pictures (B, C, H, W) float between 0 and 1; target (B) long for classes,
        (B, 1) float for values.

    Raises:
        DataError: the folder is none of a dataset, a column holds text or has missing values, a class is unknown.
        UnknownNameError: there is no such split or column; close matches are given.
        ParameterError: the fraction is not between 0 and 1.
    """
    splits = _read(path)
    chosen = {"train": _split(splits, train, path), **({"test": _split(splits, test, path)} if test else {})}
    if isinstance(valid, str):
        chosen["valid"] = _split(splits, valid, path)
    else:
        chosen |= _held_out(chosen["train"], valid)
    names = (input,) if isinstance(input, str) else tuple(input)
    for split in chosen.values():
        _check_columns(split, (*names, target), path)
    inputs = {name: _inputs(split, names) for name, split in chosen.items()}
    targets, classes = _targets(chosen, target, task)
    _check_sizes(inputs)
    first = inputs["train"]
    is_picture = first.ndim == 4
    built = {name: (Pictures if is_picture else TensorDataset)(inputs[name], targets[name]) for name in chosen}
    return ColumnsData(
        built["train"],
        built["valid"],
        built.get("test"),
        default_collate,
        fingerprint=_fingerprint(inputs, targets, classes),
        input_size=first[0].numel(),
        output_size=len(classes) or 1,
        class_names=classes,
        channels=first.shape[1] if is_picture else 0,
        image_size=(first.shape[2], first.shape[3]) if is_picture else (0, 0),
    )


# --- splits and columns -----------------------------------------------------------------------------------------------


def _read(path: Path) -> Splits:
    if find_spec("datasets") is None:
        raise LabError(
            "the package datasets is not installed", where=OWNER, hint="pip install 'lab-ablation[datasets]'"
        )
    if not Path(path).is_dir():
        raise DataError(
            f"there is no folder '{path}'", where=OWNER, hint="write one: datasets.load_dataset(...).save_to_disk(path)"
        )
    from datasets import Dataset, load_from_disk

    try:
        found = load_from_disk(str(path))
    except Exception as error:
        # the library raises errors of its own, of Arrow and of files
        raise DataError(f"this folder holds no dataset: {describe(error)}", where=str(path)) from None
    return {"train": found} if isinstance(found, Dataset) else found


def _split(splits: Splits, name: str, path: Path) -> Any:
    if name not in splits:
        hint = f"splits: {', '.join(splits)}; or hold out a part of the training split: valid=0.1"
        raise UnknownNameError.among("split", name, list(splits), where=str(path), hint=hint)
    return splits[name]


def _held_out(split: Any, fraction: float) -> dict[str, Any]:
    if not 0 < fraction < 1:
        raise ParameterError(f"valid must be the name of a split or between 0 and 1, got {fraction}", where=OWNER)
    count = max(1, round(len(split) * fraction))
    border = len(split) - count
    if border < 1:
        raise DataError(f"{len(split)} rows cannot be divided into training and validation", where=OWNER)
    return {"train": split.select(range(border)), "valid": split.select(range(border, len(split)))}


def _check_columns(split: Any, names: Sequence[str], path: Path) -> None:
    if len(split) == 0:
        raise DataError("a split is empty", where=str(path))
    for name in names:
        if name not in split.column_names:
            hint = f"columns: {', '.join(split.column_names)}"
            raise UnknownNameError.among("column", name, split.column_names, where=str(path), hint=hint)


def _inputs(split: Any, names: Sequence[str]) -> Tensor:
    from datasets import Image

    pictures = [name for name in names if isinstance(split.features[name], Image)]
    if pictures and len(names) > 1:
        raise DataError(f"the column of pictures '{pictures[0]}' cannot stand beside others", where=OWNER)
    if pictures:
        return _pixels(split, pictures[0])
    return torch.cat([_numbers(split, name) for name in names], 1)


def _numbers(split: Any, name: str) -> Tensor:
    """Return a column of numbers, or of lists of numbers, as (N, width) float."""
    values = list(split[name])
    # NumPy would read '1.5' as a number
    if isinstance(values[0], str):
        raise _not_numbers(name, values)
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise _not_numbers(name, values) from None
    if np.isnan(array).any():
        raise DataError(f"column '{name}' has missing values", where=OWNER, hint="fill them, or drop their rows")
    return torch.from_numpy(array.reshape(len(array), -1).astype(np.float32))


def _not_numbers(name: str, values: Sequence[Any]) -> DataError:
    if any(value is None for value in values):
        return DataError(f"column '{name}' has missing values", where=OWNER, hint="fill them, or drop their rows")
    if isinstance(values[0], str):
        return DataError(
            f"column '{name}' holds text",
            where=OWNER,
            hint="a mixed table is read by dataset 'table' (split.to_csv), running text by 'char_text'; or tokenize it "
            "to lists of one length",
        )
    return DataError(f"column '{name}' holds lists of several lengths, or no numbers", where=OWNER)


def _pixels(split: Any, name: str) -> Tensor:
    """Return a column of pictures as (N, C, H, W) uint8, gray or in color."""
    pictures = list(split[name])
    if any(picture is None for picture in pictures):
        raise DataError(f"column '{name}' has missing pictures", where=OWNER, hint="drop their rows")
    mode = "L" if all(picture.mode in ("1", "L") for picture in pictures) else "RGB"
    arrays = [np.asarray(picture.convert(mode)) for picture in pictures]
    sizes = {array.shape[:2] for array in arrays}
    if len(sizes) > 1:
        some = ", ".join(f"{height} × {width}" for height, width in sorted(sizes)[:3])
        raise DataError(
            f"the pictures in column '{name}' have {len(sizes)} sizes: {some}", where=OWNER, hint="resize them first"
        )
    pixels = torch.from_numpy(np.stack(arrays))
    return pixels[:, None] if mode == "L" else pixels.permute(0, 3, 1, 2).contiguous()


def _check_sizes(inputs: Mapping[str, Tensor]) -> None:
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise DataError(f"the splits have inputs of different shapes: {found}", where=OWNER)


# --- targets ----------------------------------------------------------------------------------------------------------


def _targets(
    chosen: Splits, name: str, task: Literal["classes", "value"] | None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the target of every split, and the names of the classes."""
    from datasets import ClassLabel

    feature = chosen["train"].features[name]
    values = {split: list(part[name]) for split, part in chosen.items()}
    if any(value is None for part in values.values() for value in part):
        raise DataError(f"column '{name}' has missing values", where=OWNER, hint="drop their rows")
    if task == "value" or (task is None and isinstance(values["train"][0], float)):
        numbers = {split: _numbers(part, name) for split, part in chosen.items()}
        if any(tensor.shape[1] != 1 for tensor in numbers.values()):
            raise DataError(f"column '{name}' holds lists, and a target is one number", where=OWNER)
        return numbers, ()
    if isinstance(feature, ClassLabel):
        return _codes(values, name, {number: str(text) for number, text in enumerate(feature.names)})
    if not all(isinstance(value, (str, int)) for part in values.values() for value in part):
        raise DataError(f"column '{name}' holds no classes", where=OWNER, hint="predict its numbers: task='value'")
    if isinstance(values["train"][0], str):
        return _codes(values, name, {text: text for text in sorted(set(values["train"]))})
    known = {number: str(number) for number in range(max(values["train"]) + 1)}
    if len(known) > 2 * len(set(values["train"])) + 8:
        raise DataError(
            f"column '{name}' has {len(set(values['train']))} different integers up to {max(values['train'])}",
            where=OWNER,
            hint="predict its numbers: task='value'; classes are numbered from 0",
        )
    return _codes(values, name, known)


def _codes(
    values: Mapping[str, Sequence[Any]], column: str, names: Mapping[Any, str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    codes = {value: number for number, value in enumerate(names)}
    for split, part in values.items():
        unknown = sorted({str(value) for value in part if value not in codes})
        if unknown:
            raise DataError(
                f"column '{column}' of the {split} split has a class that training has not: {unknown[0]}",
                where=OWNER,
                hint=f"classes: {', '.join(list(names.values())[:6])}",
            )
    return {split: torch.tensor([codes[value] for value in part]) for split, part in values.items()}, tuple(
        names.values()
    )


def _fingerprint(inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], classes: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(tuple(classes)).encode())
    for name in sorted(inputs):
        for tensor in (inputs[name], targets[name]):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
