"""Files of word vectors, in text, in word2vec's binary format or in safetensors; only the wanted words are kept."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import mmap
import unicodedata
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt
from lab_basics.notes import percent

from lab.errors import DataError
from lab_text.files import check_text_file, is_gzip, is_utf8, open_bytes, recoded_lines

__all__ = ["VectorFile", "variants"]

log = logging.getLogger("lab")

Vector = npt.NDArray[np.float32]

_BLOCK_BYTES = 1 << 20
# Number of lines from which the width is determined.
_LOOKED_AT = 500
MAX_SHOWN = 60
_MAX_WORD_LENGTH = 10_000
_BOM = b"\xef\xbb\xbf"


def variants(word: str) -> tuple[str, ...]:
    """Return spellings of a lower-cased word to look for in a file, best first."""
    return tuple(dict.fromkeys((word, word.lower(), word.capitalize())))


class VectorFile:
    """A file of vectors: text, plain or gzip, word2vec's binary format, or the safetensors of ``lab words export``.

    Args:
        path: the file.
        encoding: of its words.

    Raises:
        DataError: from its methods: the file is not a text file of vectors, or damaged, or a wanted vector has another
            number of values or a value that is not finite; the message gives the line.
    """

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self.path, self.encoding = path, encoding
        self.width = 0
        self.promised: int | None = None
        self._seen_twice: list[tuple[int, str]] = []
        self._not_utf8 = 0

    def find(self, words: Sequence[str]) -> tuple[int, dict[str, Vector]]:
        """Return the width, and the vectors of the words that have one."""
        # Bytes: lines of unwanted words are never decoded.
        wanted = {spelling.encode() for word in words for spelling in variants(word)}
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy's warning for text that is not a number
            found = self._scan_binary(wanted) if self._is_binary() else self._scan(wanted)
        self._tell()
        return self.width, _by_word(words, found)

    def unmatched(self, words: Sequence[str]) -> str:
        """Return a sentence on words that differ from the file in case or accents only; empty if hardly any do."""
        words_there = self._binary_words() if self._is_binary() else self._words()
        there = {word.decode("utf-8", "replace") for _, word, _ in words_there}
        for how, change in (
            ("in lower case", str.lower),
            ("in upper case", str.upper),
            ("in the form NFC", lambda word: unicodedata.normalize("NFC", word)),
            ("in the form NFD", lambda word: unicodedata.normalize("NFD", word)),
            ("without the mark of a word's beginning", lambda word: word.strip("▁Ġ#_")),
        ):
            count = sum(change(word) in there for word in words)
            # A tenth is far above chance and reports the likely mistake.
            if count * 10 > len(words):
                return f"{percent(count, len(words))} of them would be found {how}"
        return ""

    def _binary_words(self) -> Iterator[tuple[int, bytes, Vector]]:
        """Yield number, word and vector of each entry of a file that is not text."""
        return self._safetensors_words() if self._is_safetensors() else self._word2vec_words()

    def _is_safetensors(self) -> bool:
        return self.path.suffix == ".safetensors" and self.path.is_file()

    def _safetensors_words(self) -> Iterator[tuple[int, bytes, Vector]]:
        """Yield the entries of a tensor ``vectors`` whose words are JSON in the metadata."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "np") as file:
                words = json.loads((file.metadata() or {}).get("words", "null"))
                vectors = file.get_tensor("vectors")
        except (SafetensorError, ValueError, OSError) as error:
            raise self._fault(f"not a file of vectors: {error}") from error
        if not isinstance(words, list) or vectors.ndim != 2 or len(words) != len(vectors):
            count = len(words) if isinstance(words, list) else "no"
            raise self._fault(f"a tensor 'vectors' of the shape {vectors.shape} has {count} words in the metadata")
        self.promised, self.width = vectors.shape
        for number, (word, values) in enumerate(zip(words, vectors, strict=True), 1):
            yield number, str(word).encode(), values

    def _word2vec_words(self) -> Iterator[tuple[int, bytes, Vector]]:
        """Yield the entries of word2vec's binary format.

        A header in text, ``<number of vectors> <width>``, then for each word its bytes, a blank, and float32 values.
        """
        if is_gzip(self.path):
            raise self._fault("vectors in word2vec's binary format are read unpacked", f"gunzip {self.path.name}")
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            place = content.find(b"\n") + 1
            self.promised, self.width = map(int, content[:place].split())
            size = 4 * self.width
            for number in range(1, self.promised + 1):
                end = content.find(b" ", place, place + _MAX_WORD_LENGTH)
                if end < 0 and len(content) - place > _MAX_WORD_LENGTH:
                    raise self._fault(f"word {number:,} of the vector file has no end; is it of another width?")
                if end < 0 or end + 1 + size > len(content):
                    raise self._fault(
                        f"the vector file is cut short: it promises {self.promised:,} vectors of {self.width:,} values "
                        f"and holds {number - 1:,}"
                    )
                # Some writers end each vector with a newline, others do not.
                yield number, content[place:end].lstrip(b"\n"), np.frombuffer(content[end + 1 : end + 1 + size], "<f4")
                place = end + 1 + size
            if rest := content[place:].strip():
                raise self._fault(
                    f"{len(rest):,} bytes follow the {self.promised:,} vectors of {self.width:,} values that the "
                    "header promises"
                )

    def _is_binary(self) -> bool:
        """Return True if a text header is followed by binary values, or for safetensors."""
        if self._is_safetensors():
            return True
        if not self.path.is_file() or not is_utf8(self.encoding):
            return False
        try:
            with open_bytes(self.path) as file:
                head = file.read(1 << 16)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False
        header, _, rest = head.partition(b"\n")
        fields = header.split()
        if len(fields) != 2 or not all(field.isdigit() and 0 < int(field) < 1 << 40 for field in fields):
            return False
        # Text has no control characters; float32 values almost always have some.
        values = rest.partition(b" ")[2][: 4 * int(fields[1])]
        return any(byte < 9 or 14 <= byte < 32 for byte in values)

    def _scan_binary(self, wanted: set[bytes]) -> dict[bytes, Vector]:
        found: dict[bytes, Vector] = {}
        for number, word, values in self._binary_words():
            if word not in wanted:
                continue
            # The first vector counts, as in word2vec and fastText.
            if word in found:
                self._seen_twice.append((number, word.decode()))
                continue
            if not np.isfinite(values).all():
                raise self._fault(f"vector {number:,}, '{word.decode()}', has a value that is not a finite number")
            found[word] = values.astype(np.float32)
        return found

    def _scan(self, wanted: set[bytes]) -> dict[bytes, Vector]:
        """Return the first vector of every wanted spelling; other lines are read up to the word only."""
        found: dict[bytes, Vector] = {}
        # Joining fields costs time on every line, and few vocabularies have words with spaces.
        blanks = any(b" " in word for word in wanted)
        for number, word, rest in self._words():
            if blanks and (longer := self._whole_word(word, rest)) in wanted:
                word, rest = longer, b" ".join(rest.split()[-self.width :])
            if not word.isascii():
                self._count_encoding(word)
            if word not in wanted:
                continue
            if word in found:
                if self._whole_word(word, rest) == word:
                    self._seen_twice.append((number, word.decode()))
                continue
            values = self._values(number, word, rest)
            if values is not None:
                found[word] = values
        return found

    def _words(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield line number, first word and the rest of each line with a vector."""
        lines = self._lines()
        # A single line cannot tell a header from a damaged line.
        first = list(islice(lines, _LOOKED_AT))
        if not first:
            raise self._fault("the vector file is empty")
        count = 0
        for number, line in chain(self._without_header(first), lines):
            # No split: only the first word of most lines is needed, and lines have hundreds of values.
            end = line.find(b" ")
            tab = line.find(b"\t", 0, end) if end >= 0 else line.find(b"\t")
            end = tab if tab >= 0 else end
            if end == 0:  # a blank before the word
                line = line.lstrip(b" \t")
                end = len(line) - len(line.lstrip(line.split(None, 1)[0])) if line.strip() else -1
            if end < 0 and not line.strip():
                continue
            count += 1
            word = line[:end] if end >= 0 else line.rstrip()
            yield number, word, line[len(word) :]
        self._check_count(count)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        if self.path.is_file() and not self.path.stat().st_size:
            raise self._fault("the vector file is empty")
        check_text_file(self.path, self.encoding, noun="vector file")
        with self.path.open("rb", buffering=_BLOCK_BYTES) as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            lines: Iterable[bytes] = raw
            if compressed:
                lines = io.BufferedReader(gzip.GzipFile(fileobj=raw), _BLOCK_BYTES)
            if not is_utf8(self.encoding):
                lines = recoded_lines(cast(IO[bytes], lines), self.encoding)
            try:
                for number, line in enumerate(lines, start=1):
                    yield number, line.removeprefix(_BOM) if number == 1 else line
            except EOFError as error:
                raise self._fault("the compressed vector file is cut short") from error
            except (zlib.error, gzip.BadGzipFile) as error:
                raise self._fault(f"the compressed vector file is damaged: {error}") from error
            except UnicodeError as error:
                raise self._fault(f"the vector file is not {self.encoding.upper()}", "encoding=…") from error

    def _without_header(self, lines: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Read the width from the first lines; return these without the header, if there is one."""
        fields = lines[0][1].split()
        counts = Counter(_values_of(line.split()) for _, line in lines[1:] if line.strip())
        common = counts.most_common(1)[0][0] if counts else 0
        # Two integers are a header, unless all vectors have width 1.
        if len(fields) == 2 and all(field.isdigit() for field in fields) and not (common == 1 != int(fields[1])):
            self.promised, self.width = int(fields[0]), int(fields[1])
            if common and common != self.width and not counts[self.width] and counts[common] * 2 > counts.total():
                self._refuse_header(common)
            return lines[1:]
        first = _values_of(fields)
        counts[first] += 1
        self.width = first if counts[first] == max(counts.values()) else common
        if self.width < 1:
            raise self._fault(
                "the lines of the vector file have no values", "one word and its numbers on every line, with blanks"
            )
        return lines

    def _refuse_header(self, common: int) -> None:
        """Raise if the header has another width than the lines; a single line may be damaged."""
        raise self._fault(
            f"the header of the vector file promises {self.width:,} values a word, and the lines have {common:,}",
            "mend or remove the first line",
        )

    def _whole_word(self, word: bytes, rest: bytes) -> bytes:
        """Return the word of a line, with blanks where the numbers leave room for them."""
        fields = rest.split()
        return b" ".join([word, *fields[: max(0, len(fields) - self.width)]])

    def _values(self, number: int, word: bytes, rest: bytes) -> Vector | None:
        """Return the numbers of one line; None where the line is that of a longer word."""
        values = None
        # np.fromstring is much faster than float() for each field; odd lines take the slow way.
        with contextlib.suppress(ValueError, DeprecationWarning):
            values = np.fromstring(rest, np.float32, sep=" ")
        if values is None or len(values) != self.width or self.width == 1:
            values = self._checked_values(number, rest.split())
        if values is not None and not np.isfinite(values).all():
            bad = rest.split()[int(np.flatnonzero(~np.isfinite(values))[0])].decode("utf-8", "replace")
            name, bad = word[:MAX_SHOWN].decode("utf-8", "replace"), bad[:MAX_SHOWN]
            raise self._fault(
                f"line {number:,} of the vector file, '{name}', has a value that is not a finite number: {bad}",
                "remove the line, or fetch or train the vectors again",
            )
        return values

    def _checked_values(self, number: int, fields: list[bytes]) -> Vector | None:
        others = fields[: max(0, len(fields) - self.width)]
        # More text fields than one: the line of a longer word that was not asked for.
        if others and not all(map(_is_number, others)):
            return None
        if len(fields) != self.width:
            raise self._fault(f"line {number:,} of the vector file has {len(fields)} values, expected {self.width}")
        try:
            if not all(map(_is_number, fields)):
                raise ValueError
            return np.array(fields, dtype=np.float32)
        except ValueError as error:
            hint = "write numbers with a point" if any(b"," in field for field in fields) else _AGAIN
            raise self._fault(f"line {number:,} of the vector file has a value that is not a number", hint) from error

    def _count_encoding(self, word: bytes) -> None:
        try:
            word.decode()
        except UnicodeDecodeError:
            self._not_utf8 += 1

    def _check_count(self, count: int) -> None:
        if count == 0:
            raise self._fault("the vector file is empty")
        if self.promised is not None and count < self.promised:
            raise self._fault(
                f"the vector file is cut short: it promises {self.promised:,} vectors and holds {count:,}"
            )
        if self.promised is not None and count > self.promised:
            log.warning("%s: the header promises %s vectors, not %s", self.path, f"{self.promised:,}", f"{count:,}")

    def _tell(self) -> None:
        if self._seen_twice:
            shown = ", ".join(f"'{word}' (line {number:,})" for number, word in self._seen_twice[:5])
            log.warning(
                "%s: only the first vector of a repeated word is used (%s repeated): %s",
                self.path,
                f"{len(self._seen_twice):,}",
                shown,
            )
        if self._not_utf8:
            log.warning(
                "%s: %s words are not UTF-8; if they are many, give the encoding of the file: encoding='latin-1'",
                self.path,
                f"{self._not_utf8:,}",
            )

    def _fault(self, what: str, hint: str = "") -> DataError:
        return DataError(what, where=str(self.path), hint=hint or _AGAIN)


_AGAIN = "fetch the file again"


def _values_of(fields: Sequence[bytes]) -> int:
    """Count the numbers at the end of a line, after at least one word."""
    count = 0
    while count < len(fields) - 1 and _is_number(fields[-1 - count].replace(b",", b".")):
        count += 1
    return count


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field  # Python's own way to write numbers


def _by_word(words: Iterable[str], found: Mapping[bytes, Vector]) -> dict[str, Vector]:
    table: dict[str, Vector] = {}
    for word in words:
        for spelling in variants(word):
            if (vector := found.get(spelling.encode())) is not None:
                table[word] = vector
                break
    return table
