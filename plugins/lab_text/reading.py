"""Reading sentence pairs from files, one at a time: plain or gzip, two aligned files or one with columns.

Every error is a DataError that names the file and, if possible, the line.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

import attrs

from lab.errors import DataError, ParameterError
from lab_text.files import check_text_file, is_utf8, not_encoded, recoded_lines

__all__ = ["AlignedFiles", "PairSource", "TabFile", "questions_only", "read_lines"]

Pair = tuple[str, str]
Progress = Callable[[int], Any]

_BLOCK_BYTES = 1 << 20
_BOM = "\ufeff"
# The course's patterns, to reproduce its corpus.
_ENGLISH_QUESTION = re.compile(r"^(Wh[^?.!]+\?)")
_OTHER_QUESTION = re.compile(r"^([^?.!]+\?)")


class PairSource(Protocol):
    """Source of sentence pairs."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def size(self) -> int | None:
        """Number of bytes that reading reports to ``progress``; None if unknown."""

    def pairs(self, progress: Progress) -> Iterator[Pair]:
        """Yield (source, target) sentences; ``progress`` is called with the bytes read since the last call."""


def read_lines(path: Path, progress: Progress = lambda count: None, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a text file, plain or gzip, without their ends; only ``\\n`` separates lines.

    Args:
        path: the file; gzip is known by its first bytes, not by its name.
        progress: called from time to time with the number of bytes read (compressed bytes, for gzip).
        encoding: of the file; a byte-order mark is skipped.

    Raises:
        DataError: the file is missing, empty, not text, truncated, or a line is not in this encoding.
    """
    # Refuses files of other kinds, with their kind, before a line is decoded.
    check_text_file(path, encoding)
    number = 0
    with path.open("rb") as raw:
        try:
            # Bytes, decoded line by line: an error then names its line, and only \n separates lines.
            for number, line in enumerate(_counted(raw, progress, encoding), start=1):
                text = line.decode("utf-8")
                if number == 1:
                    _refuse_mac(path, text)
                text = text.rstrip("\r\n")
                yield text.removeprefix(_BOM) if number == 1 else text
        except UnicodeDecodeError as error:
            if error.encoding != "utf-8" or not is_utf8(encoding):
                raise _other_encoding(path, number, encoding, error) from error
            raise not_encoded(path, encoding, line, number, error) from error
        except UnicodeError as error:  # UTF-16 without its mark
            raise _other_encoding(path, number, encoding, error) from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"the compressed file is damaged or truncated after line {number:,}", where=str(path), hint=_AGAIN
            ) from error
    if number == 0:
        raise DataError("corpus file is empty", where=str(path), hint=_AGAIN)


_AGAIN = "fetch or write it again"


def _refuse_mac(path: Path, text: str) -> None:
    """Raise for line ends of old Macs, which would make the file one line."""
    if text.count("\r") > text.endswith(("\r", "\r\n")):
        raise DataError(
            "the lines end with \\r alone, as old Macs wrote them",
            where=str(path),
            hint=f"write them with \\n: tr '\\r' '\\n' < {path.name}",
        )


def _other_encoding(path: Path, number: int, encoding: str, error: UnicodeError) -> DataError:
    return DataError(
        f"after line {number:,} the file is not {encoding.upper()}: {error}",
        where=str(path),
        hint="encoding='utf-8', 'cp1252', 'utf-16', …",
    )


def _counted(raw: BinaryIO, progress: Progress, encoding: str) -> Iterator[bytes]:
    """Yield the lines of an open file, in UTF-8; ``progress`` is called every few thousand lines."""
    # By content, since names are often wrong.
    compressed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    told = 0
    lines: Iterable[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=raw), _BLOCK_BYTES) if compressed else raw
    plain = not compressed and is_utf8(encoding)
    if not is_utf8(encoding):
        lines = recoded_lines(cast(IO[bytes], lines), encoding)
    for number, line in enumerate(lines):
        # Asking for the position of every line would cost more than reading it.
        if number % 4096 == 0:
            position = told + len(line) if plain else raw.tell()
            progress(position - told)
            told = position
        yield line
    progress(raw.tell() - told)


@attrs.frozen
class AlignedFiles:
    """Two files, line by line translations of each other.

    Raises:
        DataError: from :meth:`pairs`, when one file has more lines; the message gives both numbers.
    """

    source: Path
    target: Path
    encoding: str = "utf-8"

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.source.name} + {self.target.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that are read."""
        return (self.source, self.target)

    @property
    def size(self) -> int:
        """Bytes of the files, for a progress bar."""
        return _size(self.files)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        return {"aligned": _digests(self.files), **_encoded(self.encoding)}

    def pairs(self, progress: Progress) -> Iterator[Pair]:
        """Yield (source, target) sentences, read as a stream."""
        lines = [read_lines(path, progress, self.encoding) for path in self.files]
        for number, (source, target) in enumerate(zip_longest(*lines)):
            if source is None or target is None:
                # Both counts in the message show whether a few lines or half a file is missing.
                rest = 1 + sum(1 for _ in lines[0 if target is None else 1])
                raise self._unequal(number, rest, source_longer=target is None)
            yield source, target

    def _unequal(self, common: int, rest: int, *, source_longer: bool) -> DataError:
        source, target = (common + rest, common) if source_longer else (common, common + rest)
        return DataError(
            f"the files have different numbers of lines: {source:,} and {target:,}",
            where=f"{self.source}\n{self.target}",
            hint="line n of one file must be the translation of line n of the other",
        )


@attrs.frozen
class TabFile:
    """One file of tab-separated columns.

    Args:
        path: the file.
        columns: the positions of the source and the target column, counted from 0; other columns are ignored.
        encoding: of the file.

    Attributes:
        remarks: warnings, after reading.
    """

    path: Path
    columns: tuple[int, int] = (0, 1)
    encoding: str = "utf-8"
    remarks: list[str] = attrs.field(factory=list, init=False, eq=False)

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.path.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that are read."""
        return (self.path,)

    @property
    def size(self) -> int:
        """Bytes of the files, for a progress bar."""
        return _size(self.files)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        return {"columns": list(self.columns), "tabs": _digests(self.files), **_encoded(self.encoding)}

    def pairs(self, progress: Progress) -> Iterator[Pair]:
        """Yield (source, target) sentences, read as a stream."""
        source, target = self.columns
        self.remarks.clear()
        count, others, first_other = 0, 0, 0
        for number, line in enumerate(read_lines(self.path, progress, self.encoding), start=1):
            fields = line.split("\t")
            if len(fields) != count:
                # Blank lines at the end of a file are common; they count as empty pairs, which are dropped and counted.
                if not line:
                    yield "", ""
                    continue
                others, first_other = (others + 1, first_other or number) if count else (0, 0)
                count = count or len(fields)
            try:
                yield fields[source], fields[target]
            except IndexError:
                raise self._too_few(number, len(fields)) from None
        if others:
            self.remarks.append(
                f"{others:,} {'line has' if others == 1 else 'lines have'} another number of columns than the first, "
                f"which has {count}: line {first_other:,} is one; is there a tab inside of a sentence?"
            )

    def _too_few(self, number: int, count: int) -> DataError:
        return DataError(
            f"line {number:,} has {count} tab-separated {'column' if count == 1 else 'columns'}, "
            f"expected at least {max(self.columns) + 1}",
            where=str(self.path),
            hint="write source<TAB>target on every line, or give two files",
        )


def _size(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files if path.is_file())


def _encoded(encoding: str) -> dict[str, str]:
    """Return the part of an identity for an encoding; empty for UTF-8."""
    # Caches of UTF-8 corpora keep their keys.
    return {} if is_utf8(encoding) else {"encoding": encoding}


def _digests(files: Iterable[Path]) -> list[str]:
    from lab.cache import file_digest

    # A missing file should be reported as such, not as an error of hashing.
    for path in files:
        if not path.is_file():
            check_text_file(path)
    return [file_digest(path) for path in files]


def questions_only(pairs: Iterable[Pair], source_language: str, target_language: str) -> Iterator[Pair]:
    """Yield the pairs that begin with a question, cut to it.

    English must match ``^(Wh[^?.!]+\\?)``, the other language ``^([^?.!]+\\?)``: the course's filter
    (fast.ai, Cutting Edge Deep Learning 2018, lesson 11).

    >>> list(questions_only([("Où est-il ? Là.", "Where is he? There.")], "fr", "en"))
    [('Où est-il ?', 'Where is he?')]
    """
    if "en" not in (source_language, target_language):
        raise ParameterError(
            "questions=True needs English as source or target",
            where=f"source {source_language}, target {target_language}",
            hint="set questions to false",
        )
    in_source = _question(source_language).match
    in_target = _question(target_language).match
    for source, target in pairs:
        found = in_source(source), in_target(target)
        # Both sides must match: the filter is on pairs.
        if found[0] and found[1]:
            yield found[0].group(1), found[1].group(1)


def _question(language: str) -> re.Pattern[str]:
    return _ENGLISH_QUESTION if language == "en" else _OTHER_QUESTION
