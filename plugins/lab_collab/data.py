"""Rating data: (user, item, rating) as tensors that are built once and indexed by batch.

Ids are assigned from the training part; id 0 is the unknown user or item.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import attrs
import numpy as np
import torch
from lab_basics.notes import log_notes
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError, UnknownNameError
from lab_collab.reading import Columns, plain_id, read_frame, read_ratings
from lab_collab.remarks import describe, remarks_on
from lab_collab.sources import Source, read_corpus

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "UNKNOWN",
    "RatingBatch",
    "Ratings",
    "RatingsData",
    "TimedRatingBatch",
    "TimedRatings",
    "find_item",
    "ratings",
    "ratings_of_frame",
    "ratings_of_source",
]

UNKNOWN = 0
Split = Literal["random", "last", "course"]


class RatingBatch(NamedTuple):
    """A batch of ratings.

    Attributes:
        users, items: (B,) long ids, 0 if unknown.
        target: (B,) float, the ratings.
    """

    users: Tensor
    items: Tensor
    target: Tensor


class TimedRatingBatch(NamedTuple):
    """A batch of ratings with their times.

    Attributes:
        users, items: (B,) long ids, 0 if unknown.
        times: (B,) float, days since the first rating of the training part.
        target: (B,) float, the ratings.
    """

    users: Tensor
    items: Tensor
    times: Tensor
    target: Tensor


class TimedRatings:
    """Dataset of users, items, times and ratings, tensors of one length; a batch indexes each once."""

    def __init__(self, users: Tensor, items: Tensor, times: Tensor, target: Tensor) -> None:
        self.users, self.items, self.times, self.target = users, items, times, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> TimedRatingBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> TimedRatingBatch:
        chosen = torch.as_tensor(indices)
        return TimedRatingBatch(*(each[chosen] for each in (self.users, self.items, self.times, self.target)))

    def __add__(self, other: TimedRatings) -> TimedRatings:
        """Return the ratings of both."""
        names = ("users", "items", "times", "target")
        return TimedRatings(*(torch.cat([getattr(self, n), getattr(other, n)]) for n in names))


class Ratings:
    """Dataset of three tensors of one length; a batch indexes each once."""

    def __init__(self, users: Tensor, items: Tensor, target: Tensor) -> None:
        self.users, self.items, self.target = users, items, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> RatingBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> RatingBatch:
        chosen = torch.as_tensor(indices)
        return RatingBatch(self.users[chosen], self.items[chosen], self.target[chosen])

    def __add__(self, other: Ratings) -> Ratings:
        """Return the ratings of both."""
        return Ratings(*(torch.cat([getattr(self, n), getattr(other, n)]) for n in ("users", "items", "target")))


@attrs.define(eq=False)
class RatingsData(Data):
    """Ratings of items by users.

    Attributes:
        user_ids, item_ids: names by id, starting with id 1.
        user_count, item_count: number of ids, the unknown included.
        mean_rating: mean over the training part.
        rating_range: lowest and highest rating of both parts.
        item_titles: name of an item → its title, if known.
        item_features: (item_count, F) 0 or 1, for example genres, or None; row 0 is zero.
        user_features: (user_count, G) likewise.
        time_span: days between the first and the last rating of the training part; 0 without times.
        user_mean_times: (user_count,), mean time of each user's training ratings in days since the first of all; 0 for
            the unknown user, and without times.
        rated_items: (R,) long, the items rated in training, ordered by user; those of user u are
            ``rated_items[rated_starts[u]:rated_starts[u + 1]]``, with ``rated_starts`` (user_count + 1,) long.
        notes: sentences on what was read: numbers of ratings, users and items, the split, and anything that looks odd.
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
    time_span: float = 0.0
    user_mean_times: Tensor = attrs.field(factory=lambda: torch.zeros(1))
    rated_items: Tensor = attrs.field(factory=lambda: torch.zeros(0, dtype=torch.long))
    rated_starts: Tensor = attrs.field(factory=lambda: torch.zeros(2, dtype=torch.long))
    notes: tuple[str, ...] = ()

    def user_number(self, user: object) -> int:
        """Return the id of a user, 0 if unknown; ``1``, ``1.0`` and `` 1`` are the same name."""
        return _number_of(self.user_ids, str(user))

    def item_number(self, item: object) -> int:
        """Return the id of an item, 0 if unknown; ``1``, ``1.0`` and `` 1`` are the same name."""
        return _number_of(self.item_ids, str(item))

    def batch_table(self, batch: RatingBatch | TimedRatingBatch, count: int) -> list[list[str]]:
        """Return the first ratings of a batch, for ``lab sheet`` and ``learner.show_batch()``."""
        rows = [
            [self.user_ids[user - 1] if user else "(unknown)", self.title(item), f"{rating:g}"]
            for user, item, rating in zip(
                batch.users[:count].tolist(), batch.items[:count].tolist(), batch.target[:count].tolist(), strict=True
            )
        ]
        return [["user", "item", "rating"], *rows]

    def title(self, number: int) -> str:
        """Return the title of an item, or its name if it has none."""
        name = self.item_ids[number - 1] if number else "(unknown)"
        return self.item_titles.get(name, name)


def find_item(data: RatingsData, text: str) -> int:
    """Return the id of the item with this name or title, or with this part of a title if only one item has it.

    Raises:
        UnknownNameError: no item, or several items, match; the candidates are given.
    """
    number = data.item_number(text)
    if number:
        return number
    titles = {data.title(each): each for each in range(1, data.item_count)}
    wanted = text.casefold()
    exact = [each for title, each in titles.items() if wanted in (_without_year(title), title.casefold())]
    found = exact or [each for title, each in titles.items() if wanted in title.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        names = "\n".join(data.title(each) for each in found[:8])
        raise UnknownNameError(f"'{text}' matches {len(found)} items", hint=f"{names}\ngive the whole title")
    raise UnknownNameError.among("item", text, titles, where=f"{data.item_count - 1:,} items")


def _without_year(title: str) -> str:
    """Return a title in lower case without its year.

    >>> _without_year("Casablanca (1942)")
    'casablanca'
    """
    head, bracket, year = title.rpartition(" (")
    return (head if bracket and year.rstrip(")").isdigit() else title).casefold()


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
    max_rows: int | None = None,
    times: bool = False,
) -> RatingsData:
    """Ratings, split into training and validation.

    Args:
        corpus: ``embedded`` (generated from known factors, no download), ``movielens_small_2016``,
            ``movielens_small_2018`` or ``ml-100k``.
        path: a text file to use instead of a corpus, plain or gzip, with a header; without one, its columns are user,
            item, rating and time. Names that are all whole numbers are compared as numbers (``1`` is ``1.0``); others
            are compared as they are, spaces included. Repeated pairs are all kept, and reported.
        user, item, rating, time: names of the columns.
        separator: column separator: one character, ``tab`` or ``::``; None detects and reports it.
        encoding: encoding of the file.
        decimal: decimal sign of ratings.
        time_format: format of times that are neither numbers nor ISO 8601 dates, for example ``%d/%m/%Y``.
        split: ``random``; the ``last`` in time, which needs times; or ``course``, the rows of fast.ai's
            ``get_cv_idxs``, for comparison with the scores of the course.
        valid_share: fraction of the ratings that is held out for validation, in (0, 1).
        folds: number of random folds for cross-validation, instead of ``split``; fold number ``fold`` validates.
        fold: which fold validates, from 0.
        split_seed: seed of the random split.
        max_rows: read only the first N ratings; None reads all.
        times: give models the time of each rating as well, in days: batches are (users, items, times, target), which
            ``time_biases`` reads.

    Raises:
        DataError: the file cannot be read; column and line are given. Times are needed and there are none.
        ParameterError: a parameter is out of range.
    """
    _check(split, valid_share, folds, fold, split_seed)
    if decimal not in (".", ","):
        raise ParameterError(f"decimal must be '.' or ',', not {decimal!r}", where=_WHERE)
    if max_rows is not None and max_rows < 1:
        raise ParameterError(f"max_rows must be at least 1, got {max_rows}", where=_WHERE)
    if path is None:
        source = read_corpus(corpus)
    else:
        columns = Columns(user, item, rating, time, decimal, time_format)
        source = read_ratings(Path(path), columns, separator=separator, encoding=encoding)
    source = source if max_rows is None else source.first(max_rows)
    return ratings_of_source(
        source, split=split, valid_share=valid_share, folds=folds, fold=fold, split_seed=split_seed, times=times
    )


def ratings_of_source(
    source: Source,
    *,
    split: Split = "random",
    valid_share: float = 0.2,
    folds: int | None = None,
    fold: int = 0,
    split_seed: int = 42,
    times: bool = False,
) -> RatingsData:
    """Split ratings that were read already; see ``ratings``."""
    _check(split, valid_share, folds, fold, split_seed)
    return _data(source, _validating(source, split, valid_share, folds, fold, split_seed), times=times)


_WHERE = "dataset 'ratings'"


def _check(split: str, valid_share: float, folds: int | None, fold: int, split_seed: int) -> None:
    if split not in get_args(Split):
        raise ParameterError(f"unknown split '{split}'", where=_WHERE, hint=f"splits: {', '.join(get_args(Split))}")
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=_WHERE)
    if folds is not None and not (folds > 1 and 0 <= fold < folds):
        raise ParameterError(
            f"fold {fold} of {folds} does not exist", where=_WHERE, hint="folds of at least 2, fold from 0"
        )
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
    """Read ratings from a pandas frame; parameters are those of ``ratings``."""
    source = read_frame(frame, Columns(user, item, rating, time, time_format=time_format))
    return ratings_of_source(source, split=split, valid_share=valid_share, split_seed=split_seed)


def _validating(source: Source, split: str, valid_share: float, folds: int | None, fold: int, seed: int) -> np.ndarray:
    """Return the mask (N,) of the validation ratings."""
    count = len(source.ratings)
    if folds is None and split == "last":
        if source.times is None:
            raise DataError("these ratings have no times", where=source.name, hint="split='random', or time='COLUMN'")
        order = np.argsort(source.times, kind="stable")
    else:
        order = np.random.default_rng(seed).permutation(count)
    first, last = count - round(count * valid_share), count
    if folds is None and split == "course":
        # The legacy generator, because the course's rows were drawn with it.
        order = np.random.RandomState(seed).permutation(count)
        first, last = 0, int(count * valid_share)
    if folds is not None:
        first, last = (round(count * part / folds) for part in (fold, fold + 1))
    if not 0 < last - first < count:
        raise DataError(f"too few ratings to split: {count}", where=source.name, hint="both parts need ratings")
    chosen = np.zeros(count, bool)
    chosen[order[first:last]] = True
    return chosen


def _data(source: Source, validating: np.ndarray, *, times: bool = False) -> RatingsData:
    user_ids, users = _numbered(source.users, validating)
    item_ids, items = _numbered(source.items, validating)
    numbers = users.numpy(), items.numpy()
    notes = describe(source, validating, *numbers)
    remarks = list(remarks_on(source, validating, *numbers))
    log_notes(source.name, notes, remarks)
    values = torch.from_numpy(source.ratings.astype(np.float32))
    masks = [torch.from_numpy(chosen) for chosen in (~validating, validating)]
    span, means = 0.0, torch.zeros(len(user_ids) + 1)
    if times:
        days = _days(source, validating)
        span = float(days[masks[0]].max())
        who = users[masks[0]]
        sums = torch.bincount(who, days[masks[0]].double(), minlength=len(user_ids) + 1)
        means = (sums / torch.bincount(who, minlength=len(user_ids) + 1).clamp(min=1)).float()
        train, valid = (TimedRatings(users[m], items[m], days[m], values[m]) for m in masks)
    else:
        train, valid = (Ratings(users[m], items[m], values[m]) for m in masks)
    # A flat list with one start per user: a list of lists would be far slower to index for a batch of users.
    order = torch.argsort(train.users, stable=True)
    starts = torch.zeros(len(user_ids) + 2, dtype=torch.long)
    starts[1:] = torch.bincount(train.users, minlength=len(user_ids) + 1).cumsum(0)
    return RatingsData(
        train,
        valid,
        collate=_as_it_is,
        fingerprint=_fingerprint(source, validating, times=times),
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
        time_span=span,
        user_mean_times=means,
        rated_items=train.items[order],
        rated_starts=starts,
        notes=(*notes, *remarks),
    )


def _days(source: Source, validating: np.ndarray) -> Tensor:
    """Return the times (N,) of ratings in days since the first one of the training part."""
    if source.times is None:
        raise DataError("these ratings have no times", where=source.name, hint="times=False, or time='COLUMN'")
    return torch.from_numpy(((source.times - source.times[~validating].min()) / 86_400).astype(np.float32))


def _numbered(names: np.ndarray, validating: np.ndarray) -> tuple[tuple[str, ...], Tensor]:
    """Return the names in the training part and the ids of all ratings."""
    known, first = np.unique(names[~validating], return_index=True)
    # In order of appearance, so that ids do not depend on how names sort.
    known = known[np.argsort(first)]
    order = np.argsort(known)
    # searchsorted gives len(known) for names behind the last one.
    rows = np.minimum(np.searchsorted(known[order], names), len(known) - 1)
    found = known[order][rows] == names
    numbers = np.where(found, order[rows] + 1, UNKNOWN)
    return tuple(map(str, known)), torch.from_numpy(numbers)


def _features(features: dict[str, np.ndarray] | None, ids: Sequence[str]) -> Tensor | None:
    """Return one row of features per id; zeros if a name has none."""
    if not features:
        return None
    width = len(next(iter(features.values())))
    rows = np.zeros((len(ids) + 1, width), np.float32)
    for number, name in enumerate(ids, 1):
        if name in features:
            rows[number] = features[name]
    return torch.from_numpy(rows)


def _number_of(ids: tuple[str, ...], name: str) -> int:
    # Exact names first: plain_id would turn a name such as "1.0" into "1".
    numbers = {each: number for number, each in enumerate(ids, 1)}
    return numbers.get(name) or numbers.get(plain_id(name)) or numbers.get(name.strip(), UNKNOWN)


def _fingerprint(source: Source, validating: np.ndarray, *, times: bool = False) -> str:
    """Return a hash of everything that a model or a callback can see."""
    digest = hashlib.sha256(validating.tobytes())
    for names in (source.users, source.items):
        digest.update("\0".join(map(str, names)).encode())
    digest.update(source.ratings.tobytes())
    if times and source.times is not None:
        digest.update(source.times.tobytes())
    digest.update(repr((sorted(source.titles.items()), source.feature_names)).encode())
    for features in (source.item_features, source.user_features):
        for name, row in sorted((features or {}).items()):
            digest.update(name.encode() + b"\0" + row.tobytes())
    return digest.hexdigest()


def _as_it_is(batch: Any) -> Any:
    return batch
