"""Numbered pictures whose classes are in a table, as in competitions."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from lab_basics.notes import counted, log_notes

from lab.errors import DataError, ParameterError
from lab_vision.data import ImageData, check_scale, image_data, require_count, require_size
from lab_vision.pictures import Fit, pictures_in
from lab_vision.remarks import describe_skipped
from lab_vision.sources import _cached, _digest

__all__ = ["image_table"]

MAX_TOLD = 12


def image_table(
    path: str,
    labels: Path,
    *,
    size: int | None = 32,
    gray: bool = False,
    fit: Fit = "crop",
    id_column: str | None = None,
    label_column: str | None = None,
    valid_share: float = 0.1,
    split_seed: int = 42,
    train_on_all: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Pictures in one folder or zip, such as ``1.png``, ``2.png`` …, and a CSV file with the class of each.

    The same share of every class validates. Once everything is chosen, ``train_on_all`` trains on all pictures; the
    validation pictures stay as they are and were then trained on, so that their scores say nothing.

    Args:
        path: the folder or the ``.zip``, which is not unpacked; pictures may lie at any depth.
        labels: the CSV file: a header, then a row for each picture.
        size: edge of the square in pixels; None keeps the size, which must be the same for all pictures.
        gray: one channel instead of three.
        fit: ``crop`` crops the center, ``squish`` changes the aspect ratio.
        id_column: column with the names of pictures, with or without suffix; None is the first.
        label_column: column with their classes; None is the second.
        valid_share: fraction of every class that validates, at least one picture.
        split_seed: seed of the random split.
        train_on_all: train on the validation pictures, too.
        mean, std: per channel, for pixels between 0 and 1; None computes them.

    Raises:
        DataError: the table cannot be read, or does not fit the pictures, or a class has one picture; all problems are
            listed.
        ParameterError: a value is out of range.
    """
    where = "dataset 'image_table'"
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=where)
    require_count("split_seed", split_seed, 0, where)
    require_size(size, where)
    check_scale(mean, std, 1 if gray else 3, where)
    problems: list[str] = []
    named, first = _read_labels(Path(labels), id_column, label_column, problems)
    pictures = {}
    for picture in pictures_in(Path(path)):
        stem = PurePosixPath(picture.name).stem
        if stem in pictures:
            problems.append(f"two pictures are called '{stem}': {pictures[stem].name}, {picture.name}")
        pictures[stem] = picture
    # Read as a header, the first row would be missing.
    if first in pictures:
        problems.append(f"line 1 has the label of the picture '{first}'; a table begins with the names of its columns")
    problems += [f"'{name}' has a label and no picture" for name in named if name not in pictures]
    found = Counter(label for name, label in named.items() if name in pictures)
    if rare := sorted(label for label, count in found.items() if count < 2):
        problems.append(_rare(rare))
    if problems:
        # The summary of classes stays in sight, whatever the number of lines before it.
        last = problems[-1:] if rare else []
        others = problems[: len(problems) - len(last)]
        shown = others[:MAX_TOLD] + ([f"and {len(others) - MAX_TOLD} more"] if len(others) > MAX_TOLD else []) + last
        # No problem alone: such pictures are left out. Beside others, it may be the same mistake.
        if unlabelled := sorted(set(pictures) - {*named, first}, key=_by_number):
            names = ", ".join(unlabelled[:3]) + (" …" if len(unlabelled) > 3 else "")
            shown.append(f"beside: {counted(len(unlabelled), 'picture')} without a label: {names}")
        raise DataError(
            f"{counted(len(problems), 'problem')} with these pictures",
            where=f"{path}, {labels}",
            hint="\n".join(shown),
        )
    chosen = [pictures[name] for name in sorted(named, key=_by_number)]
    if not chosen:
        raise DataError("the table has no rows", where=str(labels), hint="a header and a row for each picture")
    decoded = _cached(_digest(Path(path), chosen), chosen, size, gray, fit)
    target_names = [named[PurePosixPath(name).stem] for name in decoded.names]
    classes = sorted(set(named.values()))
    target = np.array([classes.index(name) for name in target_names])
    valid = _share_of_each(target, classes, valid_share, split_seed, str(labels))
    train = np.arange(len(target)) if train_on_all else np.setdiff1d(np.arange(len(target)), valid)
    notes = [f"train: {len(train)} pictures of {len(classes)} classes", f"valid: {len(valid)} pictures"]
    told = [describe_skipped(decoded.skipped)] if decoded.skipped else []
    if len(pictures) > len(chosen):
        told.append(f"{len(pictures) - len(chosen)} pictures have no label and are not used")
    if train_on_all:
        told.append("the validation pictures are trained on: their scores say nothing")
    log_notes(path, notes, told)
    return image_data(
        [(decoded.pixels[rows], target[rows]) for rows in (train, valid)],
        classes,
        mean=mean,
        std=std,
        skipped=decoded.skipped,
        name=path,
        fit=fit,
        notes=[*notes, *told],
    )


def _read_labels(
    path: Path, id_column: str | None, label_column: str | None, problems: list[str]
) -> tuple[dict[str, str], str]:
    """Return picture → class of a CSV file, and the name in its header; unusable rows are added to ``problems``."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"the table cannot be read: {reason}", where=str(path)) from error
    rows = csv.reader(io.StringIO(content, newline=""))
    header = next(rows, [])
    columns = []
    for position, wanted in enumerate((id_column, label_column)):
        if wanted is None and len(header) > position:
            columns.append(position)
        elif wanted in header:
            columns.append(header.index(wanted))
        else:
            raise DataError(
                f"no column '{wanted}'" if wanted else "a table needs two columns",
                where=str(path),
                hint=f"there are: {', '.join(header) or 'none'}",
            )
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        name, label = (row[column].strip() if column < len(row) else "" for column in columns)
        stem = _stem(name)
        if not name or not label:
            problems.append(f"line {number}: no {'label' if name else 'name'}")
        elif stem in found:
            problems.append(f"line {number}: '{stem}' has a label already")
        else:
            found[stem] = label
    return found, _stem(header[columns[0]].strip())


def _stem(name: str) -> str:
    """Return the name of a picture without its suffix: some tables name files, others numbers."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in (".png", ".jpg", ".jpeg") else name


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (-1, name)


def _rare(names: Sequence[str]) -> str:
    """Return the sentence on classes with one picture."""
    shown = ", ".join(f"'{name}'" for name in names[:MAX_TOLD]) + (" …" if len(names) > MAX_TOLD else "")
    one = "class with" if len(names) == 1 else "classes with"
    return (
        f"{len(names)} {one} one picture only, which cannot both train and validate: {shown}; "
        "add pictures, or correct the labels"
    )


def _share_of_each(target: np.ndarray, names: Sequence[str], share: float, seed: int, where: str) -> np.ndarray:
    """Return the rows that validate: the same share of every class, at least one of each."""
    counts = Counter(target.tolist())
    rare = [names[number] for number in range(len(names)) if counts[number] < 2]
    if rare:
        # Known before, unless a picture could not be decoded.
        raise DataError(_rare(rare), where=where)
    generator, found = np.random.default_rng(seed), []
    for number in range(len(names)):
        rows = generator.permutation(np.flatnonzero(target == number))
        found.append(rows[: max(1, min(len(rows) - 1, round(share * len(rows))))])
    return np.sort(np.concatenate(found))
