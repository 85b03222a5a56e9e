"""Sources of labelled texts: files, named corpora and generated sentences."""

from __future__ import annotations

import csv
import difflib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lab_text.corpora import Corpus, find_corpus
from lab_text.files import read_text

from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed

__all__ = ["Labelled", "exchanged", "movie_reviews", "read_corpus", "read_file", "sst2"]

EMBEDDED = 6_000


class Labelled(NamedTuple):
    """Texts and the label of each, in one order."""

    texts: list[str]
    labels: list[str]


def sst2() -> Corpus:
    """Stanford Sentiment Treebank with two classes: 67,349 phrases to learn from, 872 sentences to test."""
    return Corpus(
        name="sst2",
        title="Stanford Sentiment Treebank, positive or negative phrases",
        languages=("en",),
        license="research use",
        publisher="https://nlp.stanford.edu/sentiment/",
        files={part: (f"sst2/{part}.tsv.gz", f"sst2/{part}.tsv") for part in ("train", "dev", "test")},
        note="there is no automatic download",
    )


def movie_reviews() -> Corpus:
    """Film reviews (Pang & Lee 2004), 1,000 positive and 1,000 negative."""
    return Corpus(
        name="movie_reviews",
        title="2,000 film reviews, positive or negative",
        languages=("en",),
        license="research use",
        publisher="https://www.cs.cornell.edu/people/pabo/movie-review-data/",
        files={"reviews": ("movie_reviews/movie_reviews.zip",)},
        note="there is no automatic download",
    )


def read_corpus(name: str, seed: int) -> tuple[dict[str, Labelled], str]:
    """Return the splits of a named corpus, those that it has, and its name in messages.

    Raises:
        ParameterError: it is not a labelled corpus.
        DataError: a file is missing or damaged.
    """
    if name == "embedded":
        return {"train": exchanged(EMBEDDED, seed)}, "corpus 'embedded'"
    if name == "sst2":
        corpus = find_corpus(name)
        parts = {"train": "train", "valid": "dev", "test": "test"}
        splits = {split: read_file(corpus.path(part), "sentence", "label") for split, part in parts.items()}
        named = {"0": "negative", "1": "positive"}
        return {split: Labelled(x.texts, [named.get(y, y) for y in x.labels]) for split, x in splits.items()}, name
    if name == "movie_reviews":
        return {"train": _reviews(find_corpus(name).path("reviews"))}, name
    raise ParameterError(
        f"corpus '{name}' has no labels",
        where="dataset 'labelled_text'",
        hint="embedded, movie_reviews, sst2, or path=",
    )


def exchanged(count: int, seed: int) -> Labelled:
    """Return generated questions; in half of them, two neighboring words changed places.

    Words themselves tell nothing, so a bag of words stays at chance.
    """
    from lab_text.embedded import generate, tokens

    generator = np.random.default_rng(derive_seed(seed, "sentences", "exchanged"))
    texts, labels = [], []
    # English repeats itself where French does not
    seen: set[str] = set()
    for pair in generate(2 * count):
        if pair.english in seen:
            continue
        seen.add(pair.english)
        words = tokens(pair.english)
        if generator.random() < 0.5:
            place = int(generator.integers(0, len(words) - 2))
            words = [*words[:place], words[place + 1], words[place], *words[place + 2 :]]
            labels.append("exchanged")
        else:
            labels.append("intact")
        texts.append(" ".join(words).lower())
        if len(texts) == count:
            break
    return Labelled(texts, labels)


def read_file(path: Path, text: str, label: str, encoding: str = "utf-8") -> Labelled:
    """Return the texts and labels of a CSV, TSV or JSON-lines file, plain or gzip; the name tells which.

    Args:
        path: the file.
        text, label: names of its columns, or keys.
        encoding: of the file.

    Raises:
        DataError: it is missing or damaged, or lacks a column; the message gives the line.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    content = read_text(path, encoding=encoding, empty="the file is empty")
    if suffix in (".jsonl", ".ndjson"):
        rows = _json_rows(path, content, (text, label))
    elif suffix in (".csv", ".tsv"):
        rows = _table_rows(path, content, (text, label), "\t" if suffix == ".tsv" else ",")
    else:
        raise DataError(f"unknown format '{suffix or path.name}'", where=str(path), hint="use .csv, .tsv or .jsonl")
    return Labelled([row[0] for row in rows], [row[1].strip() for row in rows])


def _table_rows(path: Path, content: str, columns: Sequence[str], separator: str) -> list[tuple[str, str]]:
    # files of tabs rarely quote, and a text may begin with a quotation mark
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, quoting=quoting, strict=True)
    try:
        header = next(reader)
        places = [_place(path, [name.strip() for name in header], column) for column in columns]
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"line {reader.line_num:,} has {len(cells)} columns, and the header {len(header)}",
                    where=str(path),
                    hint="quote texts that contain the separator",
                )
            rows.append((cells[places[0]], cells[places[1]]))
    except csv.Error as error:
        raise DataError(
            f"line {reader.line_num:,}: {error}", where=str(path), hint="check its quotation marks"
        ) from error
    return rows


def _place(path: Path, header: Sequence[str], column: str) -> int:
    if header.count(column) > 1:
        raise DataError(f"duplicate column '{column}'", where=str(path), hint="rename one of them")
    if column not in header:
        raise _missing(path, f"no column '{column}'", column, header)
    return header.index(column)


def _missing(path: Path, what: str, column: str, names: Sequence[str]) -> DataError:
    close = difflib.get_close_matches(column, names, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return DataError(what, where=str(path), hint=f"{hint}there are: {', '.join(names)}")


def _json_rows(path: Path, content: str, keys: Sequence[str]) -> list[tuple[str, str]]:
    rows = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"line {number:,} is not JSON: {error}", where=str(path)) from error
        if not isinstance(value, dict):
            raise DataError(f"line {number:,} is not an object", where=str(path), hint='{"text": ..., "label": ...}')
        for key in keys:
            if value.get(key) is None:
                raise _missing(path, f"line {number:,} has no '{key}'", key, [str(name) for name in value])
        rows.append((str(value[keys[0]]), str(value[keys[1]])))
    return rows


def _reviews(path: Path) -> Labelled:
    texts, labels = [], []
    named: Callable[[str], str] = {"pos": "positive", "neg": "negative"}.__getitem__
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                parts = Path(name).parts
                if name.endswith(".txt") and len(parts) > 1 and parts[-2] in ("pos", "neg"):
                    texts.append(archive.read(name).decode("latin-1"))
                    labels.append(named(parts[-2]))
    except zipfile.BadZipFile as error:
        raise DataError(f"not a zip archive: {error}", where=str(path), hint="fetch it again") from error
    return Labelled(texts, labels)
