"""Lines of running text: of corpora, files, and the text that comes with Python."""

from __future__ import annotations

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

import attrs
from lab_text.corpora import Corpus, find_corpus
from lab_text.reading import read_lines

from lab.errors import DataError, ParameterError

__all__ = ["Lines", "Sources", "Unit", "find_sources", "marked"]

Unit = Literal["lines", "paragraphs"]
Lines = Callable[[], Iterator[str]]

log = logging.getLogger("lab")

_QUESTIONS, _SEED = 12_000, 1
_BOOKS = ("embedded", "nietzsche", "timemachine", "andersen")
WHERE = "dataset 'text'"


@attrs.frozen
class Sources:
    """Where a text comes from.

    Attributes:
        parts: ``train``, and ``valid`` and ``test`` where there are some; each call reads from the start.
        name: in messages.
        digest: hash of the content.
        tokenized: whether tokens are separated by spaces, as in prepared corpora.
    """

    parts: dict[str, Lines]
    name: str
    digest: str
    tokenized: bool


def find_sources(
    corpus: str,
    path: str | Sequence[str] | None,
    valid_path: str | None,
    test_path: str | None,
    encoding: str,
    unit: Unit | None,
) -> Sources:
    """Return the sources of a corpus, or of files.

    Raises:
        DataError: a corpus or a file is missing, or a corpus is not a text.
        ParameterError: parts without a training file.
    """
    if path is None and (valid_path is not None or test_path is not None):
        raise ParameterError("valid_path or test_path without path", where=WHERE, hint="path= of the training file")
    if path is not None:
        files = {"train": [path] if isinstance(path, str) else list(path)}
        if not files["train"]:
            raise ParameterError("path names no file", where=WHERE, hint="path='book.txt'")
        files |= {part: [each] for part, each in (("valid", valid_path), ("test", test_path)) if each is not None}
        parts = {part: _lines([Path(each) for each in some], encoding, unit or "lines") for part, some in files.items()}
        first = files["train"]
        name = first[0] if len(first) == 1 else f"{first[0]} and {len(first) - 1} more"
        return Sources(parts, name, _digest([Path(each) for some in files.values() for each in some]), False)
    if corpus == "embedded":
        text = _embedded()
        lines = text.split("\n")
        parts = {"train": _from(lines, unit or "paragraphs")}
        return Sources(parts, "corpus 'embedded'", hashlib.sha256(text.encode()).hexdigest(), False)
    if corpus == "embedded_questions":
        lines = _questions()
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return Sources({"train": _from(lines, "lines")}, "corpus 'embedded_questions'", digest, True)
    found, name = find_corpus(corpus), f"corpus '{corpus}'"
    if "text" in found.files:
        file = found.path("text")
        return Sources(
            {"train": _lines([file], "utf-8", unit or "paragraphs", book=True)}, name, _digest([file]), False
        )
    if "reviews" in found.files:
        path = found.path("reviews")
        return Sources({"train": _archived(path, unit or "lines")}, name, _digest([path]), True)
    if corpus == "sst2":
        files = {part: found.path(file) for part, file in {"train": "train", "valid": "dev", "test": "test"}.items()}
        return Sources({part: _first_column(path) for part, path in files.items()}, name, _digest(files.values()), True)
    if "train" not in found.files or "valid" not in found.files:
        raise DataError(f"{name} is not a running text", hint=f"for example: {', '.join(_BOOKS)}, ptb, movie_reviews")
    paths = _paths(found, name)
    parts = {part: _lines([file], "utf-8", unit or "lines") for part, file in paths.items()}
    return Sources(parts, name, _digest(paths.values()), True)


def _paths(corpus: Corpus, name: str) -> dict[str, Path]:
    """Return the files of a corpus; of one without its training part, validation trains and test validates."""
    try:
        return {part: corpus.path(part) for part in ("train", "valid", "test") if part in corpus.files}
    except DataError:
        if "test" not in corpus.files or not all(_is_here(corpus, part) for part in ("valid", "test")):
            raise
    log.warning("%s: its training part is missing: the validation part trains, and the test part validates", name)
    return {"train": corpus.path("valid"), "valid": corpus.path("test")}


def _is_here(corpus: Corpus, part: str) -> bool:
    try:
        return corpus.path(part).is_file()
    except DataError:
        return False


def _lines(files: Sequence[Path], encoding: str, unit: Unit, *, book: bool = False) -> Lines:
    def read() -> Iterator[str]:
        for file in files:
            lines = read_lines(file, encoding=encoding)
            yield from _units(_without_license(lines) if book else lines, unit)

    return read


def _first_column(path: Path) -> Lines:
    """Return the first column of a table without its header: the texts of a labelled corpus."""

    def read() -> Iterator[str]:
        texts = (line.partition("\t")[0] for line in islice(read_lines(path), 1, None))
        yield from _units(texts, "lines")

    return read


def _archived(path: Path, unit: Unit) -> Lines:
    """Return the texts of a zip archive; a paragraph is a text."""

    def read() -> Iterator[str]:
        try:
            with zipfile.ZipFile(path) as archive:
                texts = [name for name in archive.namelist() if name.endswith(".txt")]
                # By the file's own name, so that the end of the text has every folder, which may be a class.
                for name in sorted(texts, key=lambda name: (name.rpartition("/")[2], name)):
                    yield from _units(archive.read(name).decode("latin-1").splitlines(), unit)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"not a zip archive: {error}", where=str(path), hint="fetch it again") from error

    return read


def _from(lines: Sequence[str], unit: Unit) -> Lines:
    return lambda: _units(lines, unit)


def _units(lines: Iterable[str], unit: Unit) -> Iterator[str]:
    """Yield the lines that are not empty, or paragraphs as lines."""
    if unit == "lines":
        yield from (" ".join(line.split()) for line in lines if line.strip())
        return
    paragraph: list[str] = []
    for line in lines:
        if words := line.split():
            paragraph += words
        elif paragraph:
            yield " ".join(paragraph)
            paragraph = []
    if paragraph:
        yield " ".join(paragraph)


def _without_license(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines between Project Gutenberg's markers, or all if there are none."""
    head = list(islice(lines, 200))
    starts = [number for number, line in enumerate(head) if line.startswith(("*** START OF", "***START OF"))]
    yield from head[starts[-1] + 1 :] if starts else head
    for line in lines:
        if line.startswith(("*** END OF", "***END OF")):
            return
        yield line


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(
                f"cannot read the text: {error.strerror}", where=str(path), hint="path='book.txt'"
            ) from error
    return digest.hexdigest()


@cache
def _questions() -> list[str]:
    """Return generated English questions, other ones than those that ``labelled_text`` labels."""
    from lab_text.embedded import generate, tokens

    return [" ".join(tokens(pair.english)) for pair in generate(_QUESTIONS, _SEED)]


@cache
def _embedded() -> str:
    """Return the help topics that come with every CPython, as one text."""
    # Part of the standard library, so that examples and tests need no download.
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def marked(words: Sequence[str]) -> list[str]:
    """Return words in lower case with fastai's markers: ``xxup`` before capitals, ``xxrep n c`` for n characters c.

    Howard & Gugger, *fastai*, ``text.transform`` (2018): words in capitals of two letters or more, characters that
    repeat four times or more. Differs from it: words with one capital are not marked.

    >>> marked(["STOP", "it", "noooooo"])
    ['xxup', 'stop', 'it', 'n', 'xxrep', '6', 'o']
    """
    found: list[str] = []
    for word in words:
        if len(word) > 1 and word.isupper():
            found.append("xxup")
        found += _without_repetition(word.lower())
    return found


def _without_repetition(word: str) -> list[str]:
    pieces, start, at = [], 0, 0
    while at < len(word):
        end = at
        while end < len(word) and word[end] == word[at]:
            end += 1
        if end - at >= 4:
            pieces += [word[start:at], "xxrep", str(end - at), word[at]]
            start = end
        at = end
    return [piece for piece in (*pieces, word[start:]) if piece]
