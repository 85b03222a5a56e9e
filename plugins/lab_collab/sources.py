"""Sources of ratings: the files of MovieLens in the data directory, and a generated set."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import attrs
import numpy as np
from lab_text.corpora import Corpus, Download, find_corpus
from lab_text.files import read_text

from lab.errors import DataError, UnknownNameError

__all__ = ["Source", "generated", "ml_100k", "movielens_small_2016", "movielens_small_2018", "read_corpus"]

EMBEDDED = {"users": 300, "items": 120, "factors": 3, "ratings": 12_000}


@attrs.frozen(eq=False)
class Source:
    """Ratings as they were read.

    Attributes:
        name: their name in messages.
        users, items: (N,) names.
        ratings: (N,) float.
        times: (N,) seconds, or None.
        titles: name of an item → title.
        item_features, user_features: name → 0 or 1 for each feature, or None.
        feature_names: names of the item features, then of the user features.
        notes: sentences on how they were read.
        remarks: warnings of anything that looks odd.
    """

    name: str
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray | None = None
    titles: Mapping[str, str] = attrs.field(factory=dict)
    item_features: dict[str, np.ndarray] | None = None
    user_features: dict[str, np.ndarray] | None = None
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def first(self, count: int) -> Source:
        """Return the first ``count`` ratings."""
        times = None if self.times is None else self.times[:count]
        return attrs.evolve(
            self, users=self.users[:count], items=self.items[:count], ratings=self.ratings[:count], times=times
        )


def read_corpus(name: str) -> Source:
    """Read the ratings of a named corpus.

    Raises:
        UnknownNameError: there is no such corpus of ratings.
        DataError: the corpus is not in the data directory.
    """
    if name == "embedded":
        return generated()[0]
    readers = {
        "ml-100k": _read_ml_100k,
        "movielens_small_2016": _read_movielens,
        "movielens_small_2018": _read_movielens,
    }
    if name not in readers:
        names = ["embedded", *readers]
        raise UnknownNameError.among("corpus of ratings", name, names, hint=f"corpora: {', '.join(names)}")
    return readers[name](find_corpus(name))


@cache
def generated() -> tuple[Source, dict[str, np.ndarray]]:
    """Generate ratings from known factors and return both, as ground truth for tests.

    300 users and 120 items have three factors and a bias each; a rating is 3.5 plus biases plus the product of factors
    plus noise of 0.3, rounded to half stars between 0.5 and 5. 12,000 of the 36,000 pairs are rated.
    """
    # Fixed, so that tests can state what a model finds in these ratings.
    generator = np.random.default_rng(7)
    users, items, factors = EMBEDDED["users"], EMBEDDED["items"], EMBEDDED["factors"]
    truth = {
        "user_factors": generator.normal(0, 0.75, (users, factors)),
        "item_factors": generator.normal(0, 0.75, (items, factors)),
        "user_bias": generator.normal(0, 0.4, users),
        "item_bias": generator.normal(0, 0.5, items),
    }
    pairs = generator.choice(users * items, EMBEDDED["ratings"], replace=False)
    user, item = np.divmod(pairs, items)
    exact = (
        3.5
        + truth["user_bias"][user]
        + truth["item_bias"][item]
        + (truth["user_factors"][user] * truth["item_factors"][item]).sum(1)
    )
    noisy = np.clip(np.round(2 * (exact + generator.normal(0, 0.3, len(exact)))) / 2, 0.5, 5.0)
    genre = truth["item_factors"] > 0
    source = Source(
        "corpus 'embedded'",
        np.array([f"user {number}" for number in user]),
        np.array([f"item {number}" for number in item]),
        noisy,
        np.arange(len(noisy), dtype=np.float64),
        item_features={f"item {number}": row.astype(np.float32) for number, row in enumerate(genre)},
        feature_names=("first factor", "second factor", "third factor"),
    )
    return source, truth


# --- MovieLens --------------------------------------------------------------------------------------------------------

_GROUPLENS = "https://grouplens.org/datasets/movielens/"
_LICENSE = "research use, no redistribution without permission (GroupLens)"


def movielens_small_2016() -> Corpus:
    """MovieLens small of 2016: 100,004 ratings of 9,066 films by 671 users."""
    return _movielens_small("2016", "100,004 ratings of 9,066 films by 671 users")


def movielens_small_2018() -> Corpus:
    """MovieLens small of 2018: 100,836 ratings of 9,724 films by 610 users."""
    return _movielens_small("2018", "100,836 ratings of 9,724 films by 610 users")


def _movielens_small(year: str, title: str) -> Corpus:
    folder = f"movielens_small/{year}"
    url = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
    members = {name: f"{folder}/{name}" for name in ("ratings.csv", "movies.csv")}
    return Corpus(
        name=f"movielens_small_{year}",
        title=f"MovieLens small, {title}",
        languages=("en",),
        license=_LICENSE,
        publisher=_GROUPLENS,
        files={name.partition(".")[0]: (path,) for name, path in members.items()},
        downloads=(Download(url, f"{folder}/ml-latest-small.zip", 978_202, members=members),) if year == "2018" else (),
        note="" if year == "2018" else "the publisher replaced it with the release of 2018",
    )


def ml_100k() -> Corpus:
    """MovieLens 100k of 1998: 100,000 ratings of 1,682 films by 943 users, with genres, ages and occupations."""
    members = {name: f"ml-100k/{name}" for name in ("u.data", "u.item", "u.user", "u.genre", "u.occupation")}
    return Corpus(
        name="ml-100k",
        title="MovieLens 100k, 100,000 ratings of 1,682 films by 943 users",
        languages=("en",),
        license=_LICENSE,
        publisher=_GROUPLENS,
        files={name.removeprefix("u."): (path,) for name, path in members.items()},
        downloads=(
            Download(
                "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                "ml-100k/ml-100k.zip",
                4_924_029,
                members=members,
            ),
        ),
    )


def _read_movielens(corpus: Corpus) -> Source:
    rows = _csv(corpus.path("ratings"), ["userId", "movieId", "rating", "timestamp"])
    films = _csv(corpus.path("movies"), ["movieId", "title", "genres"])
    genres = sorted({genre for film in films for genre in film[2].split("|")} - {"(no genres listed)"})
    return Source(
        f"corpus '{corpus.name}'",
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        _numbers(rows, 2, corpus.path("ratings"), 2),
        _numbers(rows, 3, corpus.path("ratings"), 2),
        titles={film[0]: film[1] for film in films},
        item_features={film[0]: _marks(film[2].split("|"), genres) for film in films},
        feature_names=tuple(genres),
    )


def _read_ml_100k(corpus: Corpus) -> Source:
    rows = _lines(corpus.path("data"), "\t", 4)
    genres = [line[0] for line in _lines(corpus.path("genre"), "|", 2)]
    films = _lines(corpus.path("item"), "|", 5 + len(genres), "latin-1")
    people = _lines(corpus.path("user"), "|", 5)
    jobs = [line[0] for line in _lines(corpus.path("occupation"), "|", 1)]
    ages = [f"age from {age}" for age in range(0, 80, 10)]
    marks = [_numbers(films, 5 + place, corpus.path("item")) for place in range(len(genres))]
    decades = _numbers(people, 1, corpus.path("user")) // 10 * 10
    return Source(
        f"corpus '{corpus.name}'",
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        _numbers(rows, 2, corpus.path("data")),
        _numbers(rows, 3, corpus.path("data")),
        titles={film[0]: film[1] for film in films},
        item_features={film[0]: row for film, row in zip(films, np.stack(marks, 1).astype(np.float32), strict=True)},
        user_features={
            person[0]: _marks([f"age from {int(decade)}", person[2], person[3]], [*ages, "F", "M", *jobs])
            for person, decade in zip(people, decades, strict=True)
        },
        feature_names=(*genres, *ages, "F", "M", *jobs),
    )


def _marks(there: list[str], names: list[str]) -> np.ndarray:
    return np.array([name in there for name in names], np.float32)


def _csv(path: Path, columns: list[str]) -> list[list[str]]:
    """Read columns of a file with a header."""
    reader = csv.reader(io.StringIO(read_text(path, noun="ratings file"), newline=""))
    header = next(reader)
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(f"there is no column '{missing[0]}'", where=str(path), hint=_AGAIN)
    places = [header.index(name) for name in columns]
    rows = []
    for row in reader:
        if len(row) != len(header):
            raise DataError(
                f"line {reader.line_num:,} has {len(row)} columns, the header {len(header)}",
                where=str(path),
                hint=_AGAIN,
            )
        rows.append([row[place] for place in places])
    return rows


def _lines(path: Path, separator: str, width: int, encoding: str = "utf-8") -> list[list[str]]:
    """Read the rows of a file without a header; further columns are allowed."""
    # Not splitlines(): the titles in Latin-1 hold bytes that it takes for line ends, such as NEL.
    rows = []
    for number, line in enumerate(read_text(path, encoding, noun="ratings file").split("\n"), 1):
        cells = line.rstrip("\r").split(separator)
        if len(cells) >= width and line.strip():
            rows.append(cells)
        elif line.strip():
            raise DataError(f"line {number:,} has {len(cells)} columns, not {width}", where=str(path), hint=_AGAIN)
    return rows


def _numbers(rows: list[list[str]], place: int, path: Path, first: int = 1) -> np.ndarray:
    """Return a column of finite numbers; ``first`` is the line of the first row."""
    try:
        values = np.array([float(row[place]) for row in rows])
    except ValueError as error:
        raise DataError(
            f"column {place + 1} has a value that is not a number: {error}", where=str(path), hint=_AGAIN
        ) from error
    if not np.isfinite(values).all():
        line = int(np.flatnonzero(~np.isfinite(values))[0]) + first
        raise DataError(f"row {line:,} has a value that is not finite", where=str(path), hint=_AGAIN)
    return values


_AGAIN = "download the corpus again"
