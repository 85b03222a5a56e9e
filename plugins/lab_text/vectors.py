"""Word vectors for the embedding layers of a model.

The registry ``vectors`` holds subclasses of :class:`WordVectors`. A dataset asks one for the table of its vocabulary:
``vectors.table(vocabulary, sentences)``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch

from lab.errors import DataError, LabError, ParameterError
from lab_text.cache import content_key, damaged_entry, entry
from lab_text.fasttext_model import FastTextModel, open_fasttext
from lab_text.vector_files import VectorFile, variants
from lab_text.vocabulary import PAD_ID, SPECIAL_TOKENS, Vocabulary

__all__ = ["FastTextTrained", "FastTextVectors", "RandomVectors", "TextVectors", "VectorTable", "WordVectors"]

log = logging.getLogger("lab")

Sentences = Callable[[], Iterable[Sequence[str]]]
Found = dict[str, npt.NDArray[np.float32]]

_SHOWN_WORDS = 8


@attrs.frozen(eq=False)
class VectorTable:
    """Vectors of a vocabulary of V words.

    Attributes:
        weights: float32 (V, width); the row of ``_pad_`` is zero.
        missing: words without a vector, which got random ones, in the order of the vocabulary.
        note: a sentence on how many words have a vector.
    """

    weights: torch.Tensor
    missing: tuple[str, ...] = ()
    note: str = ""


def _positive(vectors: Any, attribute: Any, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ParameterError(
            f"{attribute.name} must be above 0, not {value}", where=f"vectors {type(vectors).__name__}"
        )


@attrs.define(kw_only=True)
class WordVectors(ABC):
    """Base class of word vectors.

    Args:
        std: scale all values to this standard deviation (the course multiplied fastText's vectors by 3 to come near 1);
            None does not scale.
        width: required width; None for any.
        seed: of the random vectors for words without one.
    """

    std: float | None = attrs.field(default=1.0, validator=_positive)
    width: int | None = None
    seed: int = 0

    @abstractmethod
    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """Return the width, and the vectors of those ``words`` that have one.

        Args:
            words: the vocabulary without its special tokens.
            sentences: returns an iterator over the tokenized training sentences.
        """

    def table(self, vocabulary: Vocabulary, sentences: Sentences = tuple) -> VectorTable:
        """Return the vectors of ``vocabulary``; words without one are counted in the log and listed in the table.

        Raises:
            DataError: a file is missing, damaged or truncated, has another width, or has a vector for none of the
            words.
        """
        # Special tokens have no meaning that a file could know.
        words = vocabulary.words[len(SPECIAL_TOKENS) :]
        width, found = self.find(words, sentences)
        if self.width is not None and width != self.width:
            raise DataError(
                f"these vectors are {width} wide, expected {self.width}",
                where=self.origin,
                hint="choose another file or another width",
            )
        missing = tuple(word for word in words if word not in found)
        note = self._report(words, missing)
        return VectorTable(_assemble(vocabulary, found, width, self.std, self.seed), missing, note)

    def unmatched(self, words: Sequence[str]) -> str:
        """Return a sentence on why words are not found; empty if unknown."""
        return ""

    @property
    def origin(self) -> str:
        """Source of the vectors, for messages."""
        return type(self).__name__

    def _report(self, words: Sequence[str], missing: Sequence[str]) -> str:
        """Return a sentence on how many words have a vector.

        Raises:
            DataError: none has one.
        """
        there = len(words) - len(missing)
        shown = f" ({', '.join(missing[:_SHOWN_WORDS])}{', …' if len(missing) > _SHOWN_WORDS else ''})"
        if words and not there:
            raise DataError(
                f"none of {len(words):,} words has a vector{shown}",
                where=self.origin,
                hint=self.unmatched(words) or "vectors of the language of these words, or another tokenizer",
            )
        note = f"{there:,} of {len(words):,} words have a vector, {len(missing):,} have none{shown if missing else ''}"
        is_low = there < _LOW_COVERAGE * len(words)
        # Looking for a reason reads the file a second time.
        if is_low and (reason := self.unmatched(missing)):
            note += f"; {reason}"
        log.log(logging.WARNING if is_low else logging.INFO, "%s: %s", self.origin, note)
        return note


# Warn if a smaller share of the words has a vector.
_LOW_COVERAGE = 0.5


def _assemble(vocabulary: Vocabulary, found: Found, width: int, std: float | None, seed: int) -> torch.Tensor:
    """Return rows in the order of the vocabulary; words without a vector get random ones of the same spread."""
    first = len(SPECIAL_TOKENS)  # a word of a file may be written like a special token
    rows = [position for position, word in enumerate(vocabulary.words[first:], first) if word in found]
    values = np.stack([found[vocabulary.words[row]] for row in rows]) if rows else np.zeros((0, width), np.float32)
    # One scale for all values keeps the angles between words.
    spread = float(values.std()) if rows else 0.0
    scale = 1.0 if std is None or spread == 0.0 else std / spread
    # Drawn for all words: the random vector of a word does not depend on which others have one.
    weights = torch.randn(len(vocabulary), width, generator=torch.Generator().manual_seed(seed))
    weights *= std if std is not None else (spread or 1.0)
    values *= np.float32(scale)
    weights[rows] = torch.from_numpy(values)
    # nn.Embedding never updates the row of padding_idx.
    weights[PAD_ID] = 0.0
    if not torch.isfinite(weights).all():
        raise DataError("a vector has values that are not finite", hint="fetch or train the vectors again")
    return weights


@attrs.define(kw_only=True)
class RandomVectors(WordVectors):
    """Normally distributed vectors for all words.

    Args:
        width: of the vectors.
    """

    width: int | None = 300

    def table(self, vocabulary: Vocabulary, sentences: Sentences = tuple) -> VectorTable:
        """Return random vectors for every word."""
        if self.width is None:
            raise ParameterError("random vectors need a width", where="vectors 'random'", hint="width=300")
        return VectorTable(_assemble(vocabulary, {}, self.width, self.std, self.seed))

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """Return the width, and the vectors of the words that have one."""
        return self.width or 0, {}


def _data_path(path: str | Path) -> Path:
    """Return a vector file by its path, or relative to the data directory; raise a DataError if it does not exist."""
    from lab_text.corpora import data_folder

    for candidate in (Path(path), data_folder() / path):
        if candidate.is_file():
            return candidate
    if Path(path).is_dir():
        raise DataError("vector file not found", where=str(path), hint="this is a folder; name a file in it")
    raise DataError("vector file not found", where=str(path), hint="check the path (relative to here or to LAB_DATA)")


def _path_given(path: str | Path, name: str) -> str:
    if not str(path):
        raise ParameterError("no vector file was named", where=f"vectors '{name}'", hint="path=…")
    return str(path)


@attrs.define(kw_only=True)
class TextVectors(WordVectors):
    """Vectors from a text file: fastText's ``.vec`` or word2vec's text format (with a header), or GloVe's (without).

    Of the file, plain or gzip, only the vectors of the vocabulary are kept. Blanks or tabs separate; the numbers are
    the last ones of a line, so that words may have blanks. word2vec's binary format, known by its content, is read too,
    and the ``.safetensors`` that ``lab words export`` writes.

    Args:
        path: the file; relative to the working directory or to the data directory.
        encoding: of its words.
    """

    path: str = ""
    encoding: str = "utf-8"

    @property
    def origin(self) -> str:
        """The file."""
        return str(self.path)

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """Return the width, and the vectors of the words that have one."""
        return self._file().find(words)

    def unmatched(self, words: Sequence[str]) -> str:
        """Return a sentence on words that the file spells differently."""
        return self._file().unmatched(words)

    def _file(self) -> VectorFile:
        return VectorFile(_data_path(_path_given(self.path, "text_vectors")), self.encoding)


@attrs.define(kw_only=True)
class FastTextVectors(WordVectors):
    """Vectors from a fastText ``.bin`` model.

    Bojanowski et al. 2017, arXiv:1607.04606. A word that the model does not list gets the vector of its character
    n-grams, unless ``subwords`` is false; a word without either is missing. fast.ai's translation lesson looks words up
    in a dictionary and counts thousands of misses: that is ``subwords=False``. Its misses include fastai's marks, such
    as ``t_up``, which no tokenizer of ``lab`` writes.

    Args:
        path: the file; relative to the working directory or to the data directory.
        subwords: compute vectors of unlisted words from n-grams.
    """

    path: str = ""
    subwords: bool = True

    @property
    def origin(self) -> str:
        """The file."""
        return str(self.path)

    def find(self, words: Sequence[str], sentences: Sentences) -> tuple[int, Found]:
        """Return the width, and the vectors of the words that have one."""
        with open_fasttext(_data_path(_path_given(self.path, "fasttext"))) as model:
            return model.arguments.width, _model_vectors(model, words, subwords=self.subwords)


def _model_vectors(model: FastTextModel, words: Iterable[str], *, subwords: bool) -> Found:
    found: Found = {}
    for word in words:
        # Exact spellings first; n-grams only for words that the model does not list in any.
        listed = next((spelling for spelling in variants(word) if spelling.encode() in model.ids), None)
        if listed is None and not subwords:
            continue
        vector = model.vector(listed or word)
        # A word without any known n-gram has the zero vector.
        if vector.any():
            found[word] = vector
    return found


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
        context: number of words predicted on either side.
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
        """Return the width, and the vectors of the words that have one."""
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "sentences.txt"
            # The hash of the sentences: another split or tokenizer is another training.
            key = content_key({"sentences": _write_sentences(corpus, sentences()), **self._identity()})
            kept = entry(key, lambda target: self._train(corpus, target), [type(self)])
        try:
            names = json.loads((kept / "words.json").read_text(encoding="utf-8"))
            matrix = np.load(kept / "vectors.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise damaged_entry(kept, error) from error
        rows = {name: row for row, name in enumerate(names)}
        return matrix.shape[1], {word: np.array(matrix[rows[word]]) for word in words if word in rows}

    def _identity(self) -> dict[str, Any]:
        import importlib.metadata

        training = {name: getattr(self, name) for name in _TRAINING}
        try:
            version = importlib.metadata.version("fasttext-wheel")
        except importlib.metadata.PackageNotFoundError:
            hint = "train them on Python 3.11 or 3.12, or give vectors that are trained: fasttext_vectors, text_vectors"
            raise LabError(
                "fastText is not installed, so it cannot train vectors", where="vectors 'fasttext_trained'", hint=hint
            ) from None
        return {"fasttext": version, **training}

    def _train(self, corpus: Path, target: Path) -> None:
        import fasttext

        if corpus.stat().st_size == 0:
            raise DataError("no sentences to train vectors on", where="vectors 'fasttext_trained'")
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
            # More threads update weights in a race: two trainings would differ.
            thread=1,
            verbose=0,
        )
        names = model.get_words()
        np.save(target / "vectors.npy", np.stack([model.get_word_vector(name) for name in names]), allow_pickle=False)
        (target / "words.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


_TRAINING = ("width", "model", "epochs", "min_count", "subword_lengths", "buckets", "lr", "context")


def _write_sentences(path: Path, sentences: Iterable[Sequence[str]]) -> str:
    """Return one sentence per line; gives the sha256 of the file."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for tokens in sentences:
            line = (" ".join(tokens) + "\n").encode()
            digest.update(line)
            file.write(line)
    return digest.hexdigest()
