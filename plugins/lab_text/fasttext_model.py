"""Reader of fastText model files; the library crashes on damaged files and reads whole ones into memory.

Layout (fastText 0.9, ``fasttext.cc``, ``dictionary.cc``, ``quantmatrix.cc``): magic and version; twelve int32 and a
double of arguments; the dictionary; n-grams that were kept when the model was made smaller; the input matrix, plain or
quantized; the output matrix, which vectors do not need.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lab.errors import DataError

__all__ = ["FastTextModel", "open_fasttext"]

MAGIC = struct.pack("<i", 793712314)
HINT = "give a .bin file of fastText 0.1 or newer; for text files use vectors 'text_vectors'"

_SUPERVISED = 3
_CENTROIDS = 256
_END = "</s>"
_MAX_WIDTH = 100_000
_MAX_NGRAM = 1_000

Rows = npt.NDArray[np.float32]


class _Arguments(NamedTuple):
    width: int
    context: int
    epochs: int
    min_count: int
    negatives: int
    word_ngrams: int
    loss: int
    model: int
    buckets: int
    shortest: int
    longest: int
    lr_update_rate: int


@contextmanager
def open_fasttext(path: Path) -> Iterator[FastTextModel]:
    """Open the model of a file.

    Raises:
        DataError: it is not a fastText model, truncated, or its counts are inconsistent.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise DataError("not a fastText model", where=str(path), hint=HINT)
        # Mapped: a model of several gigabytes is opened in milliseconds, and only the rows of wanted words are read.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:4] != MAGIC:
                raise DataError("not a fastText model", where=str(path), hint=_other_format(content))
            model = FastTextModel(path, content)
            try:
                yield model
            finally:
                model.close()


def _other_format(content: mmap.mmap) -> str:
    """Name the other format that the file may have."""
    line = content[:100].split(b"\n")[0].split()
    if len(line) == 2 and all(each.isdigit() for each in line) and b"\0" in content[:10_000]:
        return "it looks like word2vec's binary format, which vectors 'text_vectors' read"
    return HINT


class FastTextModel:
    """Model whose dictionary is in memory and whose vectors are read from the file on demand."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.path, self._content, self._place = path, content, 8
        try:
            self._read()
        except (struct.error, EOFError) as error:
            raise self._cut() from error

    def _read(self) -> None:
        version = struct.unpack_from("<i", self._content, 4)[0]
        self.arguments = _Arguments(*self._numbers("12i"))
        self._numbers("d")
        count, self.words, labels, _, self._pruned = self._numbers("iiiqq")
        self._refuse_odd(version, count, labels)
        self.ids = {}
        for number in range(count):
            end = self._content.find(b"\0", self._place)
            if end < 0:
                raise EOFError
            word = self._content[self._place : end]
            # The terminating zero, an int64 count and an int8 type.
            self._place = end + 10
            if self._place > len(self._content):
                raise EOFError
            # Type 0 is a word, 1 a label; words come first.
            if self._content[end + 9] != (number >= self.words):
                raise self._damaged(f"entry {number + 1:,} of its dictionary is neither word nor label")
            if number < self.words:
                self.ids[word] = number
        self._kept = {}
        for _ in range(max(self._pruned, 0)):
            ngram, row = self._numbers("ii")
            self._kept[ngram] = row
        self._read_matrix(self.words + (self._pruned if self._pruned >= 0 else self.arguments.buckets))
        self._check_output()

    def _refuse_odd(self, version: int, count: int, labels: int) -> None:
        arguments, size = self.arguments, len(self._content)
        odd = {
            f"version {version}": version not in (11, 12),
            f"vectors of {arguments.width:,} values": not 0 < arguments.width <= _MAX_WIDTH,
            f"{count:,} entries, {self.words:,} words and {labels:,} labels": min(self.words, labels) < 0
            or count != self.words + labels,
            f"{arguments.buckets:,} buckets": arguments.buckets < 0 or (arguments.buckets == 0 < arguments.longest),
            f"n-grams of {arguments.shortest:,} to {arguments.longest:,} characters": not (
                0 <= arguments.shortest <= _MAX_NGRAM and 0 <= arguments.longest <= _MAX_NGRAM
            ),
            f"{self._pruned:,} n-grams kept": self._pruned < -1,
        }
        for what, is_odd in odd.items():
            if is_odd:
                raise self._damaged(f"its header claims {what}")
        # Refuses absurd counts before a loop of billions starts.
        if 10 * count + 8 * max(self._pruned, 0) > size:
            raise EOFError
        # fastText itself ignores n-grams in supervised models of version 11.
        longest = 0 if version == 11 and arguments.model == _SUPERVISED else arguments.longest
        self._ngram_lengths = (arguments.shortest, longest)

    def _read_matrix(self, rows: int) -> None:
        """Read the input matrix; raise unless it has ``rows`` rows."""
        (self._quantized,) = self._numbers("?")
        if not self._quantized:
            self._matrix = self._dense(rows, self.arguments.width)
            return
        (has_norms,) = self._numbers("?")
        height, width, size = self._numbers("qqi")
        self._refuse_shape(height, width, rows, self.arguments.width)
        self._codes = self._array(np.uint8, size)
        self._centroids = self._quantizer(width)
        parts = len(self._centroids)
        if size != height * parts:
            raise self._damaged(f"{size:,} codes for {height:,} rows of {parts}")
        self._codes = self._codes.reshape(height, parts)
        self._norms: Rows | None = None
        if has_norms:
            codes = self._array(np.uint8, height)
            self._norms = self._quantizer(1)[0][:, 0][codes]

    def _quantizer(self, width: int) -> list[Rows]:
        """Return the centroids (256, d) of each part of a vector."""
        whole, parts, part, last = self._numbers("4i")
        if whole != width or parts < 1 or part < 1 or last < 1 or part * (parts - 1) + last != whole:
            raise self._damaged(f"a quantizer of {whole:,} values in {parts:,} parts of {part:,}")
        values = self._array(np.float32, whole * _CENTROIDS)
        widths = [part] * (parts - 1) + [last]
        starts = np.cumsum([0, *widths]) * _CENTROIDS
        return [values[a : a + _CENTROIDS * w].reshape(_CENTROIDS, w) for a, w in zip(starts, widths, strict=False)]

    def _dense(self, rows: int, columns: int) -> Rows:
        height, width = self._numbers("qq")
        self._refuse_shape(height, width, rows, columns)
        return self._array(np.float32, height * width).reshape(height, width)

    def _refuse_shape(self, height: int, width: int, rows: int, columns: int) -> None:
        if (height, width) != (rows, columns):
            raise self._damaged(f"a matrix of {height:,} × {width:,}, not {rows:,} × {columns:,}")

    def _check_output(self) -> None:
        """Skip the output matrix; a file that ends within it is cut short."""
        (quantized,) = self._numbers("?")
        if not quantized:
            height, width = self._numbers("qq")
            if not 0 <= height * width * 4 <= 1 << 50:
                raise self._damaged(f"an output matrix of {height:,} × {width:,}")
            self._skip(4 * height * width)

    def _numbers(self, form: str) -> tuple[int, ...]:
        found = struct.unpack_from("<" + form, self._content, self._place)
        self._place += struct.calcsize("<" + form)
        return found

    def _array(self, kind: type[np.generic], count: int) -> npt.NDArray[np.generic]:
        if count < 0:
            raise self._damaged(f"{count:,} values")
        start = self._place
        self._skip(count * np.dtype(kind).itemsize)
        return (
            # A small array is copied: a view would keep the file mapped.
            np.frombuffer(self._content, kind, count, start).copy()
            if count < 1 << 20
            else self._view(kind, count, start)
        )

    def _view(self, kind: type[np.generic], count: int, start: int) -> npt.NDArray[np.generic]:
        """Return an array that stays in the file, with its own mapping, which outlives the model's."""
        return np.memmap(self.path, kind, "r", start, (count,)).view(np.ndarray)

    def _skip(self, count: int) -> None:
        self._place += count
        if self._place > len(self._content):
            raise EOFError

    def _cut(self) -> DataError:
        size = len(self._content)
        promised = f": {size:,} of {self._place:,} bytes" if self._place > size else ""
        return DataError(
            f"the fastText model is truncated{promised}", where=str(self.path), hint="fetch the file again"
        )

    def _damaged(self, what: str) -> DataError:
        return DataError(f"the fastText model is damaged: {what}", where=str(self.path), hint="fetch the file again")

    def close(self) -> None:
        """Release the file's content."""
        self._matrix = self._codes = None

    def vector(self, word: str) -> Rows:
        """Return the vector of a word (width,) as in fastText: the mean of its row and of its n-grams' rows.

        Raises:
            DataError: it has values that are not finite.
        """
        # Words may hold bytes that are not UTF-8.
        text = word.encode("utf-8", "surrogateescape")
        own = self.ids.get(text)
        rows = [] if own is None else [own]
        # The end of sentence has no n-grams.
        if own is None or word != _END:
            rows += self._ngram_rows(b"<" + text + b">")
        total = np.zeros(self.arguments.width, np.float32)
        for row in rows:
            total += self._row(row)
        if rows:
            # float32 like fastText, so that the numbers are the same.
            total *= np.float32(1.0 / len(rows))
        if not np.isfinite(total).all():
            raise self._damaged(f"the vector of '{word}' has values that are not finite")
        return total

    def _row(self, row: int) -> Rows:
        if not self._quantized:
            found: Rows = self._matrix[row]
            return found
        parts = [each[code] for each, code in zip(self._centroids, self._codes[row], strict=True)]
        vector = np.concatenate(parts)
        return vector if self._norms is None else self._norms[row] * vector

    def _ngram_rows(self, word: bytes) -> list[int]:
        """Return the rows of the n-grams of a word in brackets."""
        shortest, longest = self._ngram_lengths
        if self._pruned == 0 or not longest:
            return []
        # Starts of characters in UTF-8: n-grams are counted in characters, hashed in bytes.
        starts = [place for place, byte in enumerate(word) if byte & 0xC0 != 0x80]
        ends = [*starts[1:], len(word)]
        rows = []
        for first, start in enumerate(starts):
            code, place = 2166136261, start
            for length, end in enumerate(ends[first : first + longest], 1):
                for byte in word[place:end]:
                    # FNV-1a over signed chars, as in fastText: bytes above 127 are sign-extended before the xor.
                    code = ((code ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
                place = end
                # fastText skips the brackets alone.
                if length >= shortest and not (length == 1 and (start == 0 or end == len(word))):
                    rows.append(code % self.arguments.buckets)
        if self._pruned > 0:
            rows = [self._kept[row] for row in rows if row in self._kept]
        found = [self.words + row for row in rows]
        return [row for row in found if self._is_row(row)]

    def _is_row(self, row: int) -> bool:
        height = len(self._codes if self._quantized else self._matrix)
        if not 0 <= row < height:
            raise self._damaged(f"an n-gram of row {row:,} of {height:,}")
        return True
