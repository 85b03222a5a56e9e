"""Notes and warnings on ratings that were read: counts, the split, and anything that looks odd."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from lab_basics.notes import counted, percent

from lab.errors import DataError
from lab_collab.sources import Source

__all__ = ["describe", "remarks_on"]

MIN_UNKNOWN_TO_WARN = 0.1
"""Fraction of validation ratings of unknown users or items from which on a note becomes a warning."""


def describe(source: Source, validating: np.ndarray, users: np.ndarray, items: np.ndarray) -> list[str]:
    """Return notes on the training and the validation part.

    Args:
        source: the ratings.
        validating: (N,) bool, the mask of the validation ratings.
        users, items: (N,) ids, 0 for those that are not in the training part.
    """
    count, valid = len(source.ratings), int(validating.sum())
    low, high = source.ratings.min(), source.ratings.max()
    return [
        *source.notes,
        f"train: {counted(count - valid, 'rating')} of {counted(len(np.unique(items[~validating])), 'item')} by "
        f"{counted(len(np.unique(users[~validating])), 'user')}; "
        f"valid: {counted(valid, 'rating')}, {percent(valid, count)} of all",
        f"ratings from {low:g} to {high:g}, {counted(len(np.unique(source.ratings)), 'different value')}",
        *(note for note, part in _unknown(validating, users, items) if 0 < part < MIN_UNKNOWN_TO_WARN),
    ]


def _unknown(validating: np.ndarray, users: np.ndarray, items: np.ndarray) -> Iterator[tuple[str, float]]:
    for what, numbers in (("users", users), ("items", items)):
        count, whole = int((numbers[validating] == 0).sum()), int(validating.sum())
        share = percent(count, whole)
        note = f"{counted(count, 'validation rating')} ({share}) of {what} that are not in the training part"
        yield note, count / whole


def remarks_on(source: Source, validating: np.ndarray, users: np.ndarray, items: np.ndarray) -> Iterator[str]:
    """Yield a warning for everything that looks odd in these ratings.

    Raises:
        DataError: all validation ratings are of users, or of items, that are not in the training part.
    """
    yield from source.remarks
    for what, numbers in (("users", users), ("items", items)):
        if not numbers[validating].any():
            raise DataError(
                f"all {int(validating.sum()):,} validation ratings are of {what} that are not in the training part",
                where=source.name,
                hint="use another split or split_seed, or more ratings",
            )
    yield from (note for note, part in _unknown(validating, users, items) if part >= MIN_UNKNOWN_TO_WARN)
    for what, names in (("user", source.users), ("item", source.items)):
        if (names == names[0]).all():
            yield f"all ratings are of one {what}, '{names[0]}'"
    if (source.ratings == source.ratings[0]).all():
        yield f"all ratings are {source.ratings[0]:g}"
    yield from _on_twins(source, validating)
    yield from _on_outliers(source.ratings)


def _on_twins(source: Source, validating: np.ndarray) -> Iterator[str]:
    """Warn of pairs of user and item that occur more than once."""
    who, what = (np.unique(names, return_inverse=True)[1].ravel() for names in (source.users, source.items))
    # One integer per pair sorts much faster than pairs of strings.
    pairs = who.astype(np.int64) * (int(what.max()) + 1) + what
    _, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    again = counts > 1
    if not again.any():
        return
    number, parts = int(again.sum()), np.zeros((len(counts), 2), bool)
    parts[inverse.ravel(), validating.astype(int)] = True
    both = int((parts[:, 0] & parts[:, 1]).sum())
    row = int(np.flatnonzero(again[inverse.ravel()])[0])
    yield (
        f"{counted(number, 'user-item pair')} rated more than once "
        f"({counted(int(counts[again].sum()), 'rating')}, all kept), {both:,} of them in both splits: "
        f"user '{source.users[row]}', item '{source.items[row]}'"
    )


def _on_outliers(ratings: np.ndarray) -> Iterator[str]:
    """Warn of ratings far outside the range of nearly all others: often a code for 'not rated'."""
    # Quantiles instead of mean and deviation, which the outliers themselves would stretch.
    low, high = np.quantile(ratings, [0.02, 0.98])
    far = (ratings < low - (high - low)) | (ratings > high + (high - low))
    if high > low and far.any():
        shown = ", ".join(f"{value:g}" for value in np.unique(ratings[far])[:5])
        yield (
            f"{counted(int(far.sum()), 'rating')} far outside the usual range from {low:g} to {high:g}: {shown}; "
            "do they mean 'not rated'?"
        )
