"""Notes and warnings on pictures that were read: splits and classes with counts, and anything that looks odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lab_vision.pictures import Decoded, Listing

__all__ = ["describe_passed_over", "describe_skipped", "describe_splits", "remarks_on"]

MAX_SHOWN = 5
MAX_CLASSES = 10
SPLITS = ("train", "valid", "test")


def describe_splits(
    rows: Sequence[np.ndarray], target: np.ndarray, classes: Sequence[str], folders: Mapping[str, str]
) -> list[str]:
    """Return one sentence per split with its origin and the number of pictures of each class."""
    notes = []
    has_valid = "valid" in folders or not folders
    for label, each in zip(SPLITS, rows, strict=False):
        source = label if has_valid or label == "train" else "test"
        origin = f"folder '{folders[source]}'" if source in folders else "drawn at random"
        notes.append(f"{label} ({origin}): {_pictures(len(each))}, {_counts(target[each], classes)}")
    return notes


def _counts(target: np.ndarray, classes: Sequence[str]) -> str:
    counts = np.bincount(target, minlength=len(classes))
    if len(classes) > MAX_CLASSES:
        return f"{len(classes)} classes with {counts.min():,} to {counts.max():,} each"
    return ", ".join(f"{name} {count:,}" for name, count in zip(classes, counts, strict=True))


def describe_skipped(skipped: Sequence[tuple[str, str]]) -> str:
    """Return the number of skipped pictures, and the first of them with reasons."""
    lines = [f"  {name}: {reason}" for name, reason in skipped[:MAX_SHOWN]]
    lines += [f"  and {len(skipped) - MAX_SHOWN:,} more"] if len(skipped) > MAX_SHOWN else []
    return "\n".join([f"{_pictures(len(skipped))} skipped", *(f"  {line}" for line in lines)])


def describe_passed_over(listing: Listing) -> str:
    """Return the number of files that are not pictures, by kind, or ""."""
    kinds = listing.passed_over.most_common()
    shown = ", ".join(f"{count:,} {kind}" for kind, count in kinds[:MAX_SHOWN])
    rest = sum(count for _, count in kinds[MAX_SHOWN:])
    files = "file is" if listing.passed_over.total() == 1 else "files are"
    return (
        f"{listing.passed_over.total():,} {files} not read: {shown}{f', {rest:,} others' if rest else ''}"
        if kinds
        else ""
    )


def remarks_on(
    listing: Listing,
    decoded: Decoded,
    rows: Sequence[np.ndarray],
    target: np.ndarray,
    classes: Sequence[str],
    found: set[str],
    all_shown: bool,
) -> Iterator[str]:
    """Yield a warning for everything that looks odd in these pictures.

    Args:
        listing: the content of the folder.
        decoded: the pictures that could be read.
        rows: rows of ``decoded`` per split.
        target: (N,) class numbers of ``decoded``.
        classes: names of the classes.
        found: classes that have files, readable or not.
        all_shown: warn of classes without validation pictures.
    """
    if decoded.skipped:
        yield describe_skipped(decoded.skipped)
    if others := describe_passed_over(listing):
        yield others
    yield from listing.remarks
    if empty := _empty_folders(listing):
        yield f"{_names(empty)} {_has(empty)} no pictures"
    if unreadable := sorted(found - {classes[number] for number in np.unique(target)}):
        yield f"no picture of {_names(unreadable)} can be read, so {_are(unreadable)} not among the classes"
    if all_shown:
        absent = [classes[n] for n in np.flatnonzero(np.bincount(target[rows[1]], minlength=len(classes)) == 0)]
        if absent:
            yield f"{_names(absent)} {_has(absent)} no validation pictures"
    yield from _on_traits(decoded)
    yield from _on_twins(decoded, rows, target, classes)


def _empty_folders(listing: Listing) -> list[str]:
    holders = {""}
    for picture in listing.pictures:
        parts = picture.name.split("/")[:-1]
        holders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    empty = sorted(listing.folders - holders)
    # Only the outermost of nested empty folders.
    return [name for name in empty if name.rpartition("/")[0] in holders]


def _on_traits(decoded: Decoded) -> Iterator[str]:
    names = {trait: [decoded.names[row] for row in rows] for trait, rows in decoded.traits.items()}
    if frames := names.get("frames"):
        yield f"{_pictures(len(frames))} with more than one frame or page; the first is read: {_names(frames)}"
    if damaged := names.get("exif"):
        yield f"{_pictures(len(damaged))} with damaged EXIF data, orientation unknown: {_names(damaged)}"
    gray = set(names.get("gray", []))
    if gray and len(gray) < len(decoded.names):
        in_color = [name for name in decoded.names if name not in gray]
        fewer, kind = (sorted(gray), "gray") if len(gray) <= len(in_color) else (in_color, "in color")
        all_of_them = _pictures(len(decoded.names))
        yield f"{len(fewer):,} of {all_of_them} {_are(fewer)} {kind}, unlike the others: {_names(fewer)}"


def _on_twins(
    decoded: Decoded, rows: Sequence[np.ndarray], target: np.ndarray, classes: Sequence[str]
) -> Iterator[str]:
    """Warn of files with the same bytes in two splits, or in two classes."""
    # By content, since copies of a picture usually have other names.
    counts = Counter(decoded.digests)
    if len(counts) == len(decoded.digests):
        return
    holders: dict[str, dict[int, int]] = {}
    for split, each in enumerate(rows):
        for row in each.tolist():
            if counts[decoded.digests[row]] > 1:
                holders.setdefault(decoded.digests[row], {}).setdefault(split, row)
    label = SPLITS
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = [each for each in holders.values() if one in each and other in each]
        if both:
            pair = f"'{decoded.names[both[0][one]]}' = '{decoded.names[both[0][other]]}'"
            yield f"{_pictures(len(both))} in {label[one]} {_are(both)} also in {label[other]} (same content): {pair}"
    shown: dict[str, dict[int, int]] = {}
    for row, digest in enumerate(decoded.digests):
        if counts[digest] > 1:
            shown.setdefault(digest, {}).setdefault(int(target[row]), row)
    several = [each for each in shown.values() if len(each) > 1]
    if several:
        first, second = list(several[0].values())[:2]
        yield (
            f"{_pictures(len(several))} {_are(several)} in more than one class (same content): "
            f"'{decoded.names[first]}' = '{decoded.names[second]}'"
        )


def _pictures(count: int) -> str:
    return f"{count:,} {'picture' if count == 1 else 'pictures'}"


def _are(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _has(things: Sequence[object]) -> str:
    return "has" if len(things) == 1 else "have"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_SHOWN])
    return shown + (f" and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else "")
