"""Word vectors for the embedding layers of a model.

The registry ``vectors`` holds subclasses of :class:`WordVectors`. A dataset asks one for the table of its vocabulary:
``vectors.table(vocabulary, sentences)``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import mmap
import struct
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch

from lab.errors import DataError, ParameterError
from lab_text.cache import content_key, entry
from lab_text.vocabulary import PAD_ID, SPECIAL_TOKENS, Vocabulary

__all__ = ["FastTextTrained", "FastTextVectors", "RandomVectors", "TextVectors", "VectorTable", "WordVectors"]

log = logging.getLogger("lab")

Sentences = Callable[[], Iterable[Sequence[str]]]
Found = dict[str, npt.NDArray[np.float32]]

_FASTTEXT_MAGIC = struct.pack("<i", 793712314)
_BLOCK_BYTES = 1 << 20
_SHOWN_WORDS = 8


@attrs.frozen(eq=False)
class VectorTable:
    """The vectors of a vocabulary of V words.

    Attributes:
        weights: float32 (V, width); the row of ``_pad_`` is zero.
        missing: the words that had no vector and got random ones, in the order of the vocabulary.
    """

    weights: torch.Tensor
    missing: tuple[str, ...] = ()


def _positive(vectors: Any, attribute: Any, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ParameterError(
            f"{attribute.name} must be above 0, not {value}", where=f"vectors {type(vectors).__name__}"
        )


@attrs.define(kw_only=True)
class WordVectors(ABC):
    """The contract of the registry ``vectors``.

    Args:
        std: the standard deviation that all values together are scaled to (the course multiplied fastText's vectors
            by 3 to come near 1); None leaves them as they are.
        width: the width that the model needs; None takes what is there.
        seed: of the random vectors given to words that have none.
    """

    std: float | None = attrs.field(default=1.0, validator=_positive)
    width: int | None = None
    seed: int = 0

    @abstractmethod
    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """The width, and the vectors of those ``words`` that have one.

        Args:
            words: the vocabulary without its special tokens.
            sentences: called, gives the tokenised training sentences anew.
        """

    def table(self, vocabulary: Vocabulary, sentences: Sentences = tuple) -> VectorTable:
        """The vectors of ``vocabulary``; words without one are counted in the log and listed in the table.

        Raises:
            DataError: a file is missing, damaged or cut short, or its width is not the one asked for.
        """
        words = vocabulary.words[len(SPECIAL_TOKENS) :]
        width, found = self.find(words, sentences)
        if self.width is not None and width != self.width:
            raise DataError(
                f"these vectors are {width} wide, {self.width} is asked for",
                where=self.origin,
                hint="choose another file or another width",
            )
        missing = tuple(word for word in words if word not in found)
        self._report(len(words), missing)
        return VectorTable(_assemble(vocabulary, found, width, self.std, self.seed), missing)

    @property
    def origin(self) -> str:
        """Where the vectors come from, for messages."""
        return type(self).__name__

    def _report(self, words: int, missing: Sequence[str]) -> None:
        shown = f" ({', '.join(missing[:_SHOWN_WORDS])}{', …' if len(missing) > _SHOWN_WORDS else ''})"
        log.info(
            "%s: %s of %s words have a vector, %s have none%s",
            self.origin,
            f"{words - len(missing):,}",
            f"{words:,}",
            f"{len(missing):,}",
            shown if missing else "",
        )


def _assemble(vocabulary: Vocabulary, found: Found, width: int, std: float | None, seed: int) -> torch.Tensor:
    """Rows in the order of the vocabulary; random ones of the same spread where nothing was found."""
    rows = [position for position, word in enumerate(vocabulary.words) if word in found]
    values = np.stack([found[vocabulary.words[row]] for row in rows]) if rows else np.zeros((0, width), np.float32)
    spread = float(values.std()) if rows else 0.0
    scale = 1.0 if std is None or spread == 0.0 else std / spread
    weights = torch.randn(len(vocabulary), width, generator=torch.Generator().manual_seed(seed))
    weights *= std if std is not None else (spread or 1.0)
    values *= np.float32(scale)
    weights[rows] = torch.from_numpy(values)
    weights[PAD_ID] = 0.0
    return weights


@attrs.define(kw_only=True)
class RandomVectors(WordVectors):
    """Normally distributed vectors; nothing counts as missing.

    Args:
        width: of the vectors.
    """

    width: int | None = 300

    def table(self, vocabulary: Vocabulary, sentences: Sentences = tuple) -> VectorTable:
        """Random vectors for every word."""
        if self.width is None:
            raise ParameterError("random vectors need a width", where="vectors 'random'", hint="width=300")
        return VectorTable(_assemble(vocabulary, {}, self.width, self.std, self.seed))

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """The width, and the vectors of the words that have one."""
        return self.width or 0, {}


def _data_path(path: str | Path) -> Path:
    """A vector file by its path, or by its place in the data directory; a DataError where it is not."""
    from lab_text.corpora import data_folder

    for candidate in (Path(path), data_folder() / path):
        if candidate.is_file():
            return candidate
    raise DataError("vector file not found", where=str(path), hint="check the path (relative to here or to LAB_DATA)")


def _path_given(path: str | Path, name: str) -> str:
    if not str(path):
        raise ParameterError("no vector file was named", where=f"vectors '{name}'", hint="path=…")
    return str(path)


@attrs.define(kw_only=True)
class TextVectors(WordVectors):
    """Vectors from a text file: fastText's ``.vec`` or word2vec's text format (with a header), or GloVe's (without).

    The file, plain or gzip, is read line by line and only the vectors of the vocabulary are kept.

    Args:
        path: the file; relative to the working directory or to the data directory.
    """

    path: str = ""

    @property
    def origin(self) -> str:
        """The file."""
        return str(self.path)

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """The width, and the vectors of the words that have one."""
        return _TextFile(_data_path(_path_given(self.path, "text_vectors"))).find(words)


class _TextFile:
    """One pass over a text file of vectors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.width = 0
        self.promised: int | None = None

    def find(self, words: Sequence[str]) -> tuple[int, Found]:
        """The width, and the vectors of the words that have one."""
        wanted = _spellings(words)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy's way to say that a text is no number
            found = self._scan(wanted)
        return self.width, _by_word(words, found)

    def _scan(self, wanted: set[bytes]) -> dict[bytes, npt.NDArray[np.float32]]:
        """The first vector of every wanted spelling; of other lines only the word is looked at."""
        found: dict[bytes, npt.NDArray[np.float32]] = {}
        number = 0
        for number, line in self._lines():
            if number == 1 and self._begins(line):
                continue
            end = line.find(b" ")
            word = line[:end] if end >= 0 else line.rstrip()
            if word in wanted and word not in found:
                found[word] = self._values(number, line[len(word) :])
        self._check_count(number - (self.promised is not None))
        return found

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        import gzip

        with self.path.open("rb", buffering=_BLOCK_BYTES) as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            lines: Iterable[bytes] = raw
            if compressed:
                lines = io.BufferedReader(gzip.GzipFile(fileobj=raw), _BLOCK_BYTES)
            try:
                yield from enumerate(lines, start=1)
            except EOFError as error:
                raise self._fault("the compressed vector file is cut short") from error

    def _begins(self, line: bytes) -> bool:
        """Learn the width from the first line; whether it is a header, not a vector."""
        if self._is_header(line):
            return True
        self.width = len(line.partition(b" ")[2].split())
        return False

    def _is_header(self, line: bytes) -> bool:
        """``<number of vectors> <width>`` in the first line."""
        fields = line.split()
        if len(fields) != 2 or not all(field.isdigit() for field in fields):
            return False
        self.promised, self.width = int(fields[0]), int(fields[1])
        return True

    def _values(self, number: int, rest: bytes) -> npt.NDArray[np.float32]:
        """The numbers of one line; where the fast way does not give them, the careful one says why."""
        with contextlib.suppress(ValueError, DeprecationWarning):
            values = np.fromstring(rest, np.float32, sep=" ")
            if len(values) == self.width > 1:
                return values
        return self._checked_values(number, rest.split())

    def _checked_values(self, number: int, fields: list[bytes]) -> npt.NDArray[np.float32]:
        if len(fields) != self.width:
            raise self._fault(f"line {number:,} of the vector file has {len(fields)} values, expected {self.width}")
        try:
            return np.array(fields, dtype=np.float32)
        except ValueError as error:
            raise self._fault(f"line {number:,} of the vector file has a value that is no number") from error

    def _check_count(self, count: int) -> None:
        if count == 0:
            raise self._fault("the vector file is empty")
        if self.promised is not None and count < self.promised:
            raise self._fault(
                f"the vector file is cut short: it promises {self.promised:,} vectors and holds {count:,}"
            )

    def _fault(self, what: str) -> DataError:
        return DataError(what, where=str(self.path), hint="fetch the file again")


def _spellings(words: Iterable[str]) -> set[bytes]:
    return {spelling.encode() for word in words for spelling in _variants(word)}


def _variants(word: str) -> tuple[str, ...]:
    """How a word of a lower-cased vocabulary may be spelt in a file, best first."""
    return tuple(dict.fromkeys((word, word.lower(), word.capitalize())))


def _by_word(words: Iterable[str], found: Mapping[bytes, npt.NDArray[np.float32]]) -> Found:
    table: Found = {}
    for word in words:
        for spelling in _variants(word):
            if (vector := found.get(spelling.encode())) is not None:
                table[word] = vector
                break
    return table


@attrs.define(kw_only=True)
class FastTextVectors(WordVectors):
    """Vectors from a fastText ``.bin`` model.

    Bojanowski et al. 2017, arXiv:1607.04606. A word that the model does not list gets the vector of its character
    n-grams, unless ``subwords`` is false; a word without either is missing.

    Args:
        path: the file; relative to the working directory or to the data directory.
        subwords: compose vectors of unlisted words.
    """

    path: str = ""
    subwords: bool = True

    @property
    def origin(self) -> str:
        """The file."""
        return str(self.path)

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """The width, and the vectors of the words that have one."""
        path = _data_path(_path_given(self.path, "fasttext"))
        _check_fasttext_file(path)
        model = _load_fasttext(path)
        return int(model.get_dimension()), _model_vectors(model, words, subwords=self.subwords)


def _model_vectors(model: Any, words: Iterable[str], *, subwords: bool) -> Found:
    found: Found = {}
    for word in words:
        listed = next((spelling for spelling in _variants(word) if model.get_word_id(spelling) >= 0), None)
        if listed is None and not subwords:
            continue
        vector = model.get_word_vector(listed or word)
        if vector.any():
            found[word] = vector.astype(np.float32)
    return found


def _load_fasttext(path: Path) -> Any:
    import fasttext

    # The package's own loader prints a notice on stderr; the class behind it does not.
    try:
        return fasttext.FastText._FastText(model_path=str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise DataError(f"fastText cannot read this file: {error}", where=str(path), hint=_BIN_HINT) from error


_BIN_HINT = "give a .bin file of fastText 0.1 or newer; for text files use vectors 'text_vectors'"


def _check_fasttext_file(path: Path) -> None:
    """fastText does not notice a file that ends too early, so follow its layout and compare with its size."""
    actual = path.stat().st_size
    if not actual:
        raise DataError("not a fastText model", where=str(path), hint=_BIN_HINT)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:4] != _FASTTEXT_MAGIC:
            raise DataError("not a fastText model", where=str(path), hint=_BIN_HINT)
        try:
            expected: int | None = _fasttext_size(content)
        except (struct.error, EOFError):
            expected = None
    if expected is None or actual < expected:
        promised = "" if expected is None else f": {actual:,} of {expected:,} bytes"
        raise DataError(f"the fastText model is cut short{promised}", where=str(path), hint="fetch the file again")


def _fasttext_size(content: mmap.mmap) -> int:
    """The size in bytes that the model's own counts imply.

    Layout: magic and version, twelve int32 and one double of arguments, the counts of the dictionary, its words (each
    ends with a zero byte, then 8 bytes of count and 1 of kind), pruned n-grams, and the two matrices.
    """
    position = 8 + 12 * 4 + 8
    words, _, _, _, pruned = struct.unpack_from("<iiiqq", content, position)
    position += 28
    for _ in range(words):
        end = content.find(b"\0", position)
        if end < 0:
            raise EOFError
        position = end + 10
    return _matrices_end(content, position + 8 * max(pruned, 0))


def _matrices_end(content: mmap.mmap, position: int) -> int:
    """Where the input and the output matrix end; of a quantized model only what is certain."""
    for _ in range(2):
        quantized, rows, columns = struct.unpack_from("<?qq", content, position)
        if quantized:
            return position
        position += 17 + 4 * int(rows * columns)
        if position > len(content):
            return position
    return position


@attrs.define(kw_only=True)
class FastTextTrained(WordVectors):
    """fastText trained on the training sentences themselves, in one thread, so the same corpus gives the same vectors.

    The result is cached by its content: the sentences, these parameters and fastText's version.

    Args:
        width: of the vectors.
        model: ``skipgram`` or ``cbow``.
        epochs: passes over the corpus.
        min_count: words seen less often get no vector.
        subword_lengths: shortest and longest character n-gram; (0, 0) for none.
        buckets: the number of hash buckets of the n-grams.
        lr: the learning rate.
        context: how many words on either side are predicted.
    """

    width: int | None = 100
    model: str = attrs.field(default="skipgram", validator=attrs.validators.in_(("skipgram", "cbow")))
    epochs: int = 5
    min_count: int = 1
    subword_lengths: tuple[int, int] = (3, 6)
    buckets: int = 200_000
    lr: float = 0.05
    context: int = 5

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """The width, and the vectors of the words that have one."""
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "sentences.txt"
            key = content_key({"sentences": _write_sentences(corpus, sentences()), **self._identity()})
            kept = entry(key, lambda target: self._train(corpus, target), [type(self)])
        names = json.loads((kept / "words.json").read_text(encoding="utf-8"))
        matrix = np.load(kept / "vectors.npy", mmap_mode="r", allow_pickle=False)
        rows = {name: row for row, name in enumerate(names)}
        return matrix.shape[1], {word: np.array(matrix[rows[word]]) for word in words if word in rows}

    def _identity(self) -> dict[str, Any]:
        import importlib.metadata

        training = {name: getattr(self, name) for name in _TRAINING}
        return {"fasttext": importlib.metadata.version("fasttext-wheel"), **training}

    def _train(self, corpus: Path, target: Path) -> None:
        import fasttext

        if corpus.stat().st_size == 0:
            raise DataError("there is no sentence to train vectors on", where="vectors 'fasttext_trained'")
        log.info("training fastText vectors (%s)", self.model)
        model = fasttext.train_unsupervised(
            str(corpus),
            model=self.model,
            dim=self.width or 100,
            epoch=self.epochs,
            minCount=self.min_count,
            minn=self.subword_lengths[0],
            maxn=self.subword_lengths[1],
            bucket=self.buckets,
            lr=self.lr,
            ws=self.context,
            thread=1,
            verbose=0,
        )
        names = model.get_words()
        np.save(target / "vectors.npy", np.stack([model.get_word_vector(name) for name in names]), allow_pickle=False)
        (target / "words.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


_TRAINING = ("width", "model", "epochs", "min_count", "subword_lengths", "buckets", "lr", "context")


def _write_sentences(path: Path, sentences: Iterable[Sequence[str]]) -> str:
    """One sentence per line; gives the sha256 of the file."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for tokens in sentences:
            line = (" ".join(tokens) + "\n").encode()
            digest.update(line)
            file.write(line)
    return digest.hexdigest()
