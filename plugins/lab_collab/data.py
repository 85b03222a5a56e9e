"""Ratings: who gave what how many stars, as tensors that are made once and cut into batches.

Users and items are numbered by the training part; number 0 stands for whoever or whatever is not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import attrs
import numpy as np
import torch
from lab_text.remarks import tell
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab_collab.reading import Columns, plain_id, read_frame, read_ratings
from lab_collab.remarks import describe, remarks_on
from lab_collab.sources import Source, read_corpus

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNKNOWN", "RatingBatch", "Ratings", "RatingsData", "ratings", "ratings_of_frame", "ratings_of_source"]

UNKNOWN = 0
Split = Literal["random", "last", "course"]


class RatingBatch(NamedTuple):
    """Some ratings.

    Attributes:
        users, items: (B,) long, 0 for unknown ones.
        target: (B,) float, the ratings.
    """

    users: Tensor
    items: Tensor
    target: Tensor


class Ratings:
    """A split: three tensors of one length; a batch is one look-up in each."""

    def __init__(self, users: Tensor, items: Tensor, target: Tensor) -> None:
        self.users, self.items, self.target = users, items, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> RatingBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> RatingBatch:
        chosen = torch.as_tensor(indices)
        return RatingBatch(self.users[chosen], self.items[chosen], self.target[chosen])


@attrs.define(eq=False)
class RatingsData(Data):
    """Ratings of items by users.

    Attributes:
        user_ids, item_ids: the names behind the numbers, from number 1 on.
        user_count, item_count: how many numbers there are, the unknown included.
        mean_rating: mean over the training part.
        rating_range: lowest and highest rating of both parts.
        item_titles: name of an item → its title, where titles are known.
        item_features: (item_count, F) 0 or 1, for example genres, or None; row 0 is zero.
        user_features: (user_count, G) likewise.
        rated_items: (R,) long and ``rated_starts`` (user_count + 1,): the items that each user has rated in training,
            of user u from ``rated_starts[u]`` to ``rated_starts[u + 1]``.
        notes: sentences on what was read: how many ratings of whom, how they were split, and what looks odd.
    """

    user_ids: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    user_count: int = 1
    item_count: int = 1
    mean_rating: float = 0.0
    rating_range: tuple[float, float] = (0.0, 1.0)
    item_titles: dict[str, str] = attrs.field(factory=dict)
    item_features: Tensor | None = None
    user_features: Tensor | None = None
    feature_names: tuple[str, ...] = ()
    rated_items: Tensor = attrs.field(factory=lambda: torch.zeros(0, dtype=torch.long))
    rated_starts: Tensor = attrs.field(factory=lambda: torch.zeros(2, dtype=torch.long))
    notes: tuple[str, ...] = ()

    def user_number(self, user: object) -> int:
        """The number of a user's name, 0 for an unknown one; ``1``, ``1.0`` and `` 1`` are one."""
        return _number_of(self.user_ids, str(user))

    def item_number(self, item: object) -> int:
        """The number of an item's name, 0 for an unknown one; ``1``, ``1.0`` and `` 1`` are one."""
        return _number_of(self.item_ids, str(item))

    def title(self, number: int) -> str:
        """How an item is called."""
        name = self.item_ids[number - 1] if number else "(unknown)"
        return self.item_titles.get(name, name)


def ratings(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    user: str = "user",
    item: str = "item",
    rating: str = "rating",
    time: str | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
    decimal: str = ".",
    time_format: str | None = None,
    split: Split = "random",
    valid_share: float = 0.2,
    folds: int | None = None,
    fold: int = 0,
    split_seed: int = 42,
    longest: int | None = None,
) -> RatingsData:
    """Ratings, split into training and validation.

    Args:
        corpus: ``embedded`` (generated from known factors, no download), ``movielens_small_2016``,
            ``movielens_small_2018`` or ``ml-100k``.
        path: a text file instead of a corpus, plain or gzip, with a header; without one its columns are user, item,
            rating and time. Names that are all whole numbers are one however they are written (``1``, ``1.0``); others
            are taken as they stand, spaces included. A pair that is rated twice counts twice, and is told.
        user, item, rating, time: its columns.
        separator: of its columns: one sign, ``tab`` or ``::``; None finds it out and tells it.
        encoding: of that file.
        decimal: the sign in ratings.
        time_format: of times that are neither numbers nor dates in ISO 8601, as ``%d/%m/%Y``.
        split: ``random``; the ``last`` in time, which needs times; or ``course``, the very rows of fast.ai's
            ``get_cv_idxs``, so that figures can stand beside those of the course.
        valid_share: share of the ratings that validate, in (0, 1).
        folds: cross-validation instead: so many parts of equal size, at random, of which number ``fold`` validates.
        fold: which, from 0.
        split_seed: of the random split.
        longest: only so many ratings are read, for a quick look; None reads all.

    Raises:
        DataError: the file cannot be read; column and line are named.
        ParameterError: a value that cannot be.
    """
    _check(split, valid_share, folds, fold, split_seed)
    if decimal not in (".", ","):
        raise ParameterError(f"decimal must be '.' or ',', not {decimal!r}", where=_WHERE)
    if longest is not None and longest < 1:
        raise ParameterError(f"longest must be at least 1, got {longest}", where=_WHERE)
    if path is None:
        source = read_corpus(corpus)
    else:
        columns = Columns(user, item, rating, time, decimal, time_format)
        source = read_ratings(Path(path), columns, separator=separator, encoding=encoding)
    source = source if longest is None else source.first(longest)
    return ratings_of_source(
        source, split=split, valid_share=valid_share, folds=folds, fold=fold, split_seed=split_seed
    )


def ratings_of_source(
    source: Source,
    *,
    split: Split = "random",
    valid_share: float = 0.2,
    folds: int | None = None,
    fold: int = 0,
    split_seed: int = 42,
) -> RatingsData:
    """Ratings that were read already; the split is that of ``ratings``."""
    _check(split, valid_share, folds, fold, split_seed)
    return _data(source, _validating(source, split, valid_share, folds, fold, split_seed))


_WHERE = "dataset 'ratings'"


def _check(split: str, valid_share: float, folds: int | None, fold: int, split_seed: int) -> None:
    if split not in get_args(Split):
        raise ParameterError(f"there is no split '{split}'", where=_WHERE, hint=f"splits: {', '.join(get_args(Split))}")
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=_WHERE)
    if folds is not None and not (folds > 1 and 0 <= fold < folds):
        raise ParameterError(f"of {folds} folds there is no number {fold}", where=_WHERE, hint="folds from 2 on")
    if not 0 <= split_seed < 1 << 32:
        raise ParameterError(f"split_seed must be from 0 to 2³² - 1, got {split_seed}", where=_WHERE)


def ratings_of_frame(
    frame: pd.DataFrame,
    *,
    user: str = "user",
    item: str = "item",
    rating: str = "rating",
    time: str | None = None,
    time_format: str | None = None,
    split: Split = "random",
    valid_share: float = 0.2,
    split_seed: int = 42,
) -> RatingsData:
    """Ratings of a pandas frame; the columns and the split are those of ``ratings``."""
    source = read_frame(frame, Columns(user, item, rating, time, time_format=time_format))
    return ratings_of_source(source, split=split, valid_share=valid_share, split_seed=split_seed)


def _validating(source: Source, split: str, valid_share: float, folds: int | None, fold: int, seed: int) -> np.ndarray:
    """Which ratings validate, (N,) bool."""
    count = len(source.ratings)
    if folds is None and split == "last":
        if source.times is None:
            raise DataError("these ratings have no times", where=source.name, hint="split='random', or name a column")
        order = np.argsort(source.times, kind="stable")
    else:
        order = np.random.default_rng(seed).permutation(count)
    first, last = count - round(count * valid_share), count
    if folds is None and split == "course":
        order = np.random.RandomState(seed).permutation(count)
        first, last = 0, int(count * valid_share)
    if folds is not None:
        first, last = (round(count * part / folds) for part in (fold, fold + 1))
    if not 0 < last - first < count:
        raise DataError(f"{count} ratings cannot be split", where=source.name, hint="give it more ratings")
    chosen = np.zeros(count, bool)
    chosen[order[first:last]] = True
    return chosen


def _data(source: Source, validating: np.ndarray) -> RatingsData:
    user_ids, users = _numbered(source.users, validating)
    item_ids, items = _numbered(source.items, validating)
    numbers = users.numpy(), items.numpy()
    notes = describe(source, validating, *numbers)
    remarks = list(remarks_on(source, validating, *numbers))
    tell(source.name, notes, remarks)
    values = torch.from_numpy(source.ratings.astype(np.float32))
    train, valid = (
        Ratings(users[chosen], items[chosen], values[chosen])
        for chosen in map(torch.from_numpy, (~validating, validating))
    )
    order = torch.argsort(train.users, stable=True)
    starts = torch.zeros(len(user_ids) + 2, dtype=torch.long)
    starts[1:] = torch.bincount(train.users, minlength=len(user_ids) + 1).cumsum(0)
    return RatingsData(
        train,
        valid,
        collate=_as_it_is,
        fingerprint=_fingerprint(source, validating),
        user_ids=user_ids,
        item_ids=item_ids,
        user_count=len(user_ids) + 1,
        item_count=len(item_ids) + 1,
        mean_rating=float(train.target.mean()),
        rating_range=(float(values.min()), float(values.max())),
        item_titles=dict(source.titles),
        item_features=_features(source.item_features, item_ids),
        user_features=_features(source.user_features, user_ids),
        feature_names=source.feature_names,
        rated_items=train.items[order],
        rated_starts=starts,
        notes=(*notes, *remarks),
    )


def _numbered(names: np.ndarray, validating: np.ndarray) -> tuple[tuple[str, ...], Tensor]:
    """The names of the training part, and everybody's number."""
    known, first = np.unique(names[~validating], return_index=True)
    known = known[np.argsort(first)]
    order = np.argsort(known)
    places = np.searchsorted(known[order], names)
    places = np.minimum(places, len(known) - 1)
    found = known[order][places] == names
    numbers = np.where(found, order[places] + 1, UNKNOWN)
    return tuple(map(str, known)), torch.from_numpy(numbers)


def _features(features: dict[str, np.ndarray] | None, ids: Sequence[str]) -> Tensor | None:
    """A row of features per number; whoever has none has zeros."""
    if not features:
        return None
    width = len(next(iter(features.values())))
    rows = np.zeros((len(ids) + 1, width), np.float32)
    for number, name in enumerate(ids, 1):
        if name in features:
            rows[number] = features[name]
    return torch.from_numpy(rows)


def _number_of(ids: tuple[str, ...], name: str) -> int:
    numbers = {each: number for number, each in enumerate(ids, 1)}
    return numbers.get(name) or numbers.get(plain_id(name)) or numbers.get(name.strip(), UNKNOWN)


def _fingerprint(source: Source, validating: np.ndarray) -> str:
    """A hash of everything that a model or a callback can see."""
    digest = hashlib.sha256(validating.tobytes())
    for names in (source.users, source.items):
        digest.update("\0".join(map(str, names)).encode())
    digest.update(source.ratings.tobytes())
    digest.update(repr((sorted(source.titles.items()), source.feature_names)).encode())
    for features in (source.item_features, source.user_features):
        for name, row in sorted((features or {}).items()):
            digest.update(name.encode() + b"\0" + row.tobytes())
    return digest.hexdigest()


def _as_it_is(batch: Any) -> Any:
    return batch
