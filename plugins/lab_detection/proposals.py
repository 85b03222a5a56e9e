"""Regions that a second stage classifies, from a file or from the colors of the pictures."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.errors import DataError

__all__ = ["REGIONS", "color_regions", "from_colors", "from_file", "of_picture", "padded", "read_proposals"]

REGIONS = "regions"
"""Value of ``proposals`` that computes regions from colors."""

COLUMNS = ("picture", "left", "top", "right", "bottom")
THRESHOLDS = (10, 16, 24, 36, 52, 72)
"""Largest differences of neighboring pixels of one region, of 255; one segmentation each."""
LEVELS = 6
"""Number of levels of a channel at which its pixels are divided into darker and lighter ones."""
LEAST_AREA = 12  # pixels
MOST = 2000
"""Largest number of regions of a picture that are kept: as many as Fast R-CNN trains on."""

Rows = Sequence[Sequence[Any]]
Box = tuple[int, int, int, int]


def read_proposals(path: Path) -> dict[str, Rows]:
    """Return the boxes of every picture in a file: corners (left, top, right, bottom) in pixels, the best first.

    Corners lie between 0 and the picture's width and height. The suffix of the file says how they are written:

    * ``.json``: an object from names of pictures to lists of boxes,
    * ``.csv``: the columns ``picture, left, top, right, bottom``, a box per line,
    * ``.npz``: an array (R, 4) for every picture, under its name; arrays of objects are refused.

    Raises:
        DataError: the file is missing, or has another format.
    """
    readers = {".json": _read_json, ".csv": _read_csv, ".npz": _read_npz}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise DataError("unknown format of proposals", where=str(path), hint=f"one of: {', '.join(readers)}")
    try:
        return readers[suffix](path.read_bytes())
    except OSError as error:
        raise DataError(f"the proposals cannot be opened: {error.strerror}", where=str(path)) from error
    except DataError as error:
        raise DataError(error.what, where=str(path), hint=error.hint) from error
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError, csv.Error, RecursionError) as error:
        raise DataError(f"the proposals cannot be read: {error}", where=str(path)) from error


def _read_json(content: bytes) -> dict[str, Rows]:
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs[:] = found
        return dict(found)

    rows = json.loads(content, object_pairs_hook=keep)
    if not isinstance(rows, dict):
        raise DataError("not a file of proposals", hint='JSON: {"picture.png": [[left, top, right, bottom], …], …}')
    # The outermost object is the last that is read.
    _refuse_twins(name for name, _ in pairs)
    # What is no list becomes one box that is not four numbers, so that it is told with the other faults of its picture.
    return {name: each if isinstance(each, list) else [each] for name, each in rows.items()}


def _read_csv(content: bytes) -> dict[str, Rows]:
    lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    header = [each.strip() for each in next(lines, [])]
    if sorted(header) != sorted(COLUMNS):
        raise DataError(f"the columns are {', '.join(header) or 'none'}", hint=f"needed: {', '.join(COLUMNS)}")
    places = [header.index(name) for name in COLUMNS]
    rows: dict[str, list[Any]] = {}
    for line in lines:
        if line:
            name, *corners = (line[place].strip() if place < len(line) else "" for place in places)
            rows.setdefault(name, []).append(corners)
    return rows


def _read_npz(content: bytes) -> dict[str, Rows]:
    archive = io.BytesIO(content)
    if not zipfile.is_zipfile(archive):
        # NumPy would take it for a pickle, and advise to read it.
        raise DataError("not an archive of arrays; pickles are not read", hint="np.savez(file, **{name: boxes})")
    with np.load(archive, allow_pickle=False) as arrays:
        _refuse_twins(arrays.files)
        objects = [name for name in arrays.files if _holds_objects(arrays, name)]
        if objects:
            raise DataError(
                f"arrays of objects, which are pickles, are not read: {', '.join(objects[:10])}",
                hint="arrays (R, 4) of numbers: np.savez(file, **{name: boxes})",
            )
        return {name: arrays[name].tolist() if arrays[name].ndim else [arrays[name].item()] for name in arrays.files}


def _holds_objects(arrays: Any, name: str) -> bool:
    """Return True if an array of an archive can be read as a pickle only."""
    try:
        return arrays[name].dtype.hasobject
    except ValueError as error:
        if "pickle" in str(error):
            return True
        raise


def _refuse_twins(names: Iterable[str]) -> None:
    seen: set[str] = set()
    twins = sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if twins:
        raise DataError(f"pictures that occur more than once: {', '.join(twins[:10])}", hint="one entry per picture")


def from_file(
    path: Path, sizes: Mapping[str, tuple[int, int]], missing: Iterable[str] = ()
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the proposals (R, 4) of every picture in fractions of it, and sentences on all that is wrong with them.

    A name in the file is that of a picture, with its suffix or without.

    Args:
        path: the file; see ``read_proposals``.
        sizes: pictures of the data set → height and width in pixels.
        missing: pictures of the data set that could not be read; their proposals are not checked.

    Raises:
        DataError: the file cannot be read.
    """
    rows, problems, found = read_proposals(path), [], {}
    known = {**dict.fromkeys(missing), **sizes}
    names = {name: name for name in known} | {Path(name).with_suffix("").as_posix(): name for name in known}
    there: dict[str, str] = {}
    for given in rows:
        own = given if given in names else Path(given).with_suffix("").as_posix()
        if own not in names:
            problems.append(f"{path.name}: {given}: no such picture in the data set")
        elif names[own] in there:
            problems.append(f"{path.name}: {given}: the same picture as {there[names[own]]}")
        else:
            there[names[own]] = given
    for name, size in sizes.items():
        if name not in there:
            problems.append(f"{path.name}: {name}: no proposals")
            continue
        boxes, faults = _checked(rows[there[name]], size)
        problems += [f"{path.name}: {there[name]}: {each}" for each in faults]
        found[name] = boxes
    return found, problems


def of_picture(path: Path, name: str, size: tuple[int, int]) -> np.ndarray:
    """Return the proposals (R, 4) that a file has for one picture, in fractions of it.

    Raises:
        DataError: the file has none, or some that cannot be used; all are told.
    """
    rows = read_proposals(path)
    given = [each for each in (name, Path(name).stem) if each in rows]
    if not given:
        raise DataError(f"no proposals for '{name}'", where=str(path))
    boxes, faults = _checked(rows[given[0]], size)
    if faults:
        problems = "problem" if len(faults) == 1 else "problems"
        raise DataError(
            f"{len(faults)} {problems} with the proposals for '{name}'", where=str(path), hint="\n".join(faults)
        )
    return boxes


def _checked(rows: Rows, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    height, width = size
    boxes, faults = [], []
    for number, row in enumerate(rows, start=1):
        try:
            # The digits of a text, or the keys of an object, would be numbers, too.
            corners = [float(each) for each in row] if isinstance(row, list) else []
            if len(corners) != 4:
                raise ValueError
        except (TypeError, ValueError):
            faults.append(f"box {number}: {row!r} is not four numbers")
            continue
        left, top, right, bottom = corners
        shown = f"box {number} ({left:g}, {top:g}, {right:g}, {bottom:g})"
        if not np.isfinite(corners).all():
            faults.append(f"{shown}: not finite")
        elif left > right or top > bottom:
            faults.append(f"{shown}: corners are swapped")
        elif left == right or top == bottom:
            faults.append(f"{shown}: no area")
        elif left < 0 or top < 0 or right > width or bottom > height:
            faults.append(f"{shown}: reaches beyond the picture of {width} × {height}")
        else:
            boxes.append([left / width, top / height, right / width, bottom / height])
    if not boxes and not faults:
        faults.append("no box")
    return np.array(boxes, np.float32).reshape(-1, 4), faults


def color_regions(pixels: np.ndarray) -> np.ndarray:
    """Return boxes (R, 4) around regions of similar color, in fractions of the picture; the most stable come first.

    A region is connected, and either no two neighboring pixels in it differ by more than a threshold in any channel, or
    all its pixels are darker, or lighter, than a level of one channel. A box that many thresholds and levels give is
    stable, as in maximally stable extremal regions (Matas et al. 2002; in color, Forssén 2007). Differs from them: the
    boxes must be equal, not the regions similar. Differs from selective search (Uijlings et al. 2013), which merges
    neighbors by color, texture and size.

    Args:
        pixels: (C, H, W) uint8.
    """
    from scipy.ndimage import median_filter

    height, width = pixels.shape[1:]
    # A median removes noise and keeps borders, which a mean would make passable.
    smooth = median_filter(pixels, (1, 3, 3))
    counts = Counter(_alike(smooth))
    counts.update(_extremal(smooth))
    # Ties in the order of the boxes themselves, so that the order does not depend on that of the labels.
    ranked = sorted(counts, key=lambda box: (-counts[box], box))[:MOST]
    return np.array(ranked or [(0, 0, width, height)], np.float32) / np.array([width, height] * 2, np.float32)


def _alike(pixels: np.ndarray) -> Iterator[Box]:
    """Yield the boxes of regions in which neighbors differ little, threshold by threshold."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    across, down = (np.abs(np.diff(pixels.astype(np.int16), axis=axis)).max(0) for axis in (2, 1))
    number = np.arange(pixels[0].size).reshape(pixels.shape[1:])
    for threshold in THRESHOLDS:
        right, below = across <= threshold, down <= threshold
        one = np.concatenate([number[:, :-1][right], number[:-1][below]])
        other = np.concatenate([number[:, 1:][right], number[1:][below]])
        graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(number.size, number.size))
        yield from _boxes_of(connected_components(graph, directed=False)[1].reshape(number.shape))


def _extremal(pixels: np.ndarray) -> Iterator[Box]:
    """Yield the boxes of regions that are darker or lighter than a level, of every channel and level."""
    from scipy.ndimage import label

    for channel in pixels:
        # At quantiles, since the levels of a pale picture lie close together.
        for level in np.unique(np.quantile(channel, np.linspace(0, 1, LEVELS + 2)[1:-1]).round()):
            for inside in (channel < level, channel >= level):
                # Label 0 is what is not inside.
                yield from _boxes_of(label(inside)[0] - 1)


def _boxes_of(labels: np.ndarray) -> Iterator[Box]:
    """Yield the boxes of the labels from 0 of pixels (H, W) that cover enough of them."""
    from scipy.ndimage import find_objects

    sizes = np.bincount(labels.ravel() + 1, minlength=1)[1:]
    for size, place in zip(sizes, find_objects(labels + 1), strict=True):
        if size >= LEAST_AREA:
            yield place[1].start, place[0].start, place[1].stop, place[0].stop


def from_colors(pixels: np.ndarray) -> list[np.ndarray]:
    """Return the ``color_regions`` (R, 4) of each of pictures (N, C, H, W) uint8."""
    return [color_regions(each) for each in pixels]


def padded(proposals: Sequence[np.ndarray]) -> np.ndarray:
    """Return proposals (N, R, 4), R at most 2,000: those of pictures that have fewer begin again.

    A repeated region changes neither what is detected nor which objects have a region; padding would need both masked.
    """
    most = min(MOST, max(map(len, proposals)))
    return np.stack([np.resize(each, (most, 4)) for each in proposals]).astype(np.float32)
