"""Sentences on ratings that were read: how many, of whom, how they were split, and what looks odd."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from lab_text.remarks import of, share

from lab.errors import DataError
from lab_collab.sources import Source

__all__ = ["describe", "remarks_on"]

MANY_UNKNOWN = 0.1
"""A smaller share of validation ratings of unknown users or items stands in the notes and is no warning."""


def describe(source: Source, validating: np.ndarray, users: np.ndarray, items: np.ndarray) -> list[str]:
    """Notes on both parts.

    Args:
        source: the ratings.
        validating: (N,) bool.
        users, items: (N,) numbers, 0 for those that the training part does not have.
    """
    count, valid = len(source.ratings), int(validating.sum())
    low, high = source.ratings.min(), source.ratings.max()
    return [
        *source.notes,
        f"train: {of(count - valid, 'rating')} of {of(len(np.unique(items[~validating])), 'item')} by "
        f"{of(len(np.unique(users[~validating])), 'user')}; valid: {of(valid, 'rating')}, {share(valid, count)} of all",
        f"ratings from {low:g} to {high:g}, {of(len(np.unique(source.ratings)), 'different value')}",
        *(told for told, part in _unknown(validating, users, items) if 0 < part < MANY_UNKNOWN),
    ]


def _unknown(validating: np.ndarray, users: np.ndarray, items: np.ndarray) -> Iterator[tuple[str, float]]:
    for what, numbers in (("users", users), ("items", items)):
        count, whole = int((numbers[validating] == 0).sum()), int(validating.sum())
        told = f"{of(count, 'rating')} of the validation part ({share(count, whole)}) are of {what} that train lacks"
        yield told, count / whole


def remarks_on(source: Source, validating: np.ndarray, users: np.ndarray, items: np.ndarray) -> Iterator[str]:
    """Yield sentences on what looks odd in these ratings.

    Raises:
        DataError: all validation ratings are of users, or of items, that the training part does not have.
    """
    yield from source.remarks
    for what, numbers in (("users", users), ("items", items)):
        if not numbers[validating].any():
            raise DataError(
                f"all {int(validating.sum()):,} validation ratings are of {what} that the training part does not have",
                where=source.name,
                hint="another split or split_seed, or more ratings",
            )
    yield from (told for told, part in _unknown(validating, users, items) if part >= MANY_UNKNOWN)
    for what, names in (("user", source.users), ("item", source.items)):
        if (names == names[0]).all():
            yield f"all ratings are of one {what}, '{names[0]}'"
    if (source.ratings == source.ratings[0]).all():
        yield f"all ratings are {source.ratings[0]:g}"
    yield from _on_twins(source, validating)
    yield from _on_outliers(source.ratings)


def _on_twins(source: Source, validating: np.ndarray) -> Iterator[str]:
    """Pairs of user and item that are rated more than once."""
    who, what = (np.unique(names, return_inverse=True)[1].ravel() for names in (source.users, source.items))
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
        f"{of(number, 'pair')} of user and item {'is' if number == 1 else 'are'} rated more than once "
        f"({of(int(counts[again].sum()), 'rating')}, each counts), {both:,} of them in train and in valid: "
        f"user '{source.users[row]}', item '{source.items[row]}'"
    )


def _on_outliers(ratings: np.ndarray) -> Iterator[str]:
    """Ratings that lie far outside of what nearly all others are: often a sign for 'not rated'."""
    low, high = np.quantile(ratings, [0.02, 0.98])
    far = (ratings < low - (high - low)) | (ratings > high + (high - low))
    if high > low and far.any():
        shown = ", ".join(f"{value:g}" for value in np.unique(ratings[far])[:5])
        yield (
            f"{of(int(far.sum()), 'rating')} far outside of the usual range from {low:g} to {high:g}: {shown}; "
            "do they stand for 'not rated'?"
        )
