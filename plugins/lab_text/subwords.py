"""Subword tokenizers, trained on the corpus by sentencepiece: BPE, unigram and WordPiece.

sentencepiece and not Hugging Face's tokenizers: with 58,000 sentences of Multi30k and 8,000 pieces, its unigram model
gave 14.3 pieces per sentence against 16.5, and the same file at every training; BPE was as good in both (13.9).
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import attrs

from lab.errors import DataError, LabError, ParameterError
from lab_text.detokenize import capitalize
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.tokenizers import tokenizer_factory

__all__ = ["BpeTokenizer", "SubwordTokenizer", "UnigramTokenizer", "WordPieceTokenizer"]

FILE, FORMAT, VERSION = "subwords.json", "lab_text subwords", 1
SPACE = "▁"
# More sentences change the pieces little, and training keeps all of them in memory.
_MAX_SENTENCES = 1_000_000
_LARGEST = re.compile(r"value <= (\d+)")
_SMALLEST = re.compile(r"required_chars.*?(\d+) vs (\d+)", re.DOTALL)


@attrs.define(slots=False)
class SubwordTokenizer(TrainableTokenizer):
    """Base class: pieces of words, trained on the corpus; the first piece of a word starts with ``▁``.

    Sentences are taken as they are written, without Unicode normalization, so that joining the pieces gives them back,
    with single spaces. A character that the training sentences do not have is a piece of its own, and unknown.

    Args:
        language: language code; it decides how ``lowercase`` is undone.
        vocab_size: number of pieces to learn, sentencepiece's three special ones included.
        lowercase: fold the text to lower case first; :meth:`detokenize` then capitalizes the first letter.
        words: tokenizer of the words that limits of a dataset count, such as ``max_target_tokens``.
        file: a file that :meth:`save` wrote, or a model of sentencepiece; None trains on the corpus.

    Raises:
        ParameterError: ``vocab_size`` is not positive, or the package sentencepiece is missing.
        DataError: the file is missing, damaged, of another version or of another kind of pieces; or, in training, the
            corpus has fewer pieces than ``vocab_size``.
    """

    kind: ClassVar[str] = ""
    # How sentencepiece trains this kind.
    model_type: ClassVar[str] = ""

    language: str
    vocab_size: int = attrs.field(default=8_000, kw_only=True)
    lowercase: bool = attrs.field(default=False, kw_only=True)
    words_tokenizer: str | Callable[..., Tokenizer] = attrs.field(default="spacy", kw_only=True, alias="words")
    file: str | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _sentencepiece(self.kind)
        if self.vocab_size < 1:
            raise ParameterError(
                f"vocab_size must be positive, got {self.vocab_size}", where=f"tokenizer '{self.kind}'"
            )

    @property
    def words(self) -> Tokenizer:
        """The tokenizer whose tokens count for the limits of a dataset."""
        return tokenizer_factory(self.words_tokenizer)(language=self.language)

    @property
    def is_trained(self) -> bool:
        """True with a file."""
        return self.file is not None

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and parameters, part of cache keys; after training also the hash of the pieces."""
        learned = hashlib.sha256(self._model).hexdigest() if self.is_trained else {"vocab_size": self.vocab_size}
        version = importlib.metadata.version("sentencepiece")
        return {"name": self.kind, "version": version, "lowercase": self.lowercase, "model": learned}

    @property
    def by_word(self) -> bool:
        """True: no piece crosses a space."""
        return True

    def train(self, texts: Iterable[str], folder: Path) -> None:
        """Write ``subwords.json`` to ``folder``; of more than a million sentences the first are used.

        Raises:
            DataError: there are fewer pieces than ``vocab_size``, or not even one for each character.
        """
        sentences = [self._folded(text) for text, _ in zip(texts, range(_MAX_SENTENCES), strict=False)]
        written = io.BytesIO()
        options = {
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "character_coverage": 1.0,
            "normalization_rule_name": "identity",
            # One thread: sums of several would be added in another order each time.
            "num_threads": 1,
            "max_sentence_length": 1 << 20,
            "minloglevel": 2,
        }
        try:
            _sentencepiece(self.kind).SentencePieceTrainer.train(
                sentence_iterator=iter(sentences), model_writer=written, **options
            )
        except RuntimeError as error:
            raise self._untrainable(str(error), len(sentences)) from error
        self._write(written.getvalue(), folder / FILE)

    def _untrainable(self, message: str, sentences: int) -> LabError:
        where = f"tokenizer '{self.kind}', trained on {sentences:,} sentences"
        if found := _LARGEST.search(message):
            most = int(found[1])
            what = f"the corpus has {most:,} pieces at most, and vocab_size is {self.vocab_size:,}"
            return DataError(what, where=where, hint=f"set vocab_size={most} or less")
        if found := _SMALLEST.search(message):
            what = f"vocab_size is {self.vocab_size:,}, and the characters of the corpus alone need more"
            return DataError(what, where=where, hint="set a larger vocab_size")
        return DataError(f"sentencepiece cannot train: {message}", where=where)

    def trained(self, folder: Path) -> Tokenizer:
        """Return the tokenizer with the pieces that :meth:`train` wrote."""
        return attrs.evolve(self, file=str(folder / FILE))

    def save(self, path: str | Path) -> None:
        """Write the trained pieces to a file, for the parameter ``file``."""
        self._write(self._model, Path(path))

    def _write(self, model: bytes, path: Path) -> None:
        content = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "lowercase": self.lowercase,
            "model": base64.b64encode(model).decode("ascii"),
        }
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")

    @cached_property
    def _model(self) -> bytes:
        """The model of sentencepiece, from the file."""
        if self.file is None:
            raise ParameterError(
                f"the tokenizer '{self.kind}' is not trained",
                hint="give it to a dataset, which trains it, or give file=…",
            )
        try:
            content = Path(self.file).expanduser().read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the tokenizer's file: {error.strerror}", where=self.file) from error
        return self._checked(content) if content.lstrip()[:1] == b"{" else content

    def _checked(self, content: bytes) -> bytes:
        """Return the model in a file of ``save``."""
        try:
            read = json.loads(content)
            found = {name: read[name] for name in ("format", "version", "kind", "lowercase", "model")}
            model = base64.b64decode(found["model"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError("not a file of subwords, or a damaged one", where=str(self.file)) from error
        if found["format"] != FORMAT or found["version"] != VERSION:
            raise DataError(
                f"subwords of version {found['version']}; this lab reads version {VERSION}",
                where=str(self.file),
                hint="train them again, or use the lab that wrote the file",
            )
        for name, mine in (("kind", self.kind), ("lowercase", self.lowercase)):
            if found[name] != mine:
                raise DataError(
                    f"the file has {name} {found[name]!r}, the tokenizer {mine!r}",
                    where=str(self.file),
                    hint="use them as they were trained",
                )
        return model

    @cached_property
    def _processor(self) -> Any:
        try:
            return _sentencepiece(self.kind).SentencePieceProcessor(model_proto=self._model)
        except RuntimeError as error:
            raise DataError("not a model of sentencepiece, or a damaged one", where=str(self.file)) from error

    def pipe(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield the pieces of every text, in order."""
        for text in texts:
            yield self.pieces(self._folded(text))

    def pieces(self, text: str) -> list[str]:
        """Return the pieces of a text with single spaces."""
        found: list[str] = self._processor.encode(text, out_type=str)
        return found

    def _folded(self, text: str) -> str:
        # sentencepiece would read its own sign as a space.
        text = " ".join(text.replace(SPACE, "_").split())
        return text.lower() if self.lowercase else text

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the sentence that the pieces make."""
        sentence = " ".join("".join(tokens).replace(SPACE, " ").split())
        return capitalize(sentence, self.language) if self.lowercase else sentence


@attrs.define(slots=False)
class BpeTokenizer(SubwordTokenizer):
    """Byte-pair encoding: the most frequent pair of pieces becomes a piece, until there are enough.

    Sennrich, Haddow & Birch 2016, arXiv:1508.07909, by sentencepiece, whose characters carry the space.
    """

    kind = "bpe"
    model_type = "bpe"


@attrs.define(slots=False)
class UnigramTokenizer(SubwordTokenizer):
    """Pieces of a unigram language model: the likeliest segmentation of each word.

    Kudo 2018, arXiv:1804.10959, by sentencepiece; without sampling of segmentations.
    """

    kind = "unigram"
    model_type = "unigram"


@attrs.define(slots=False)
class WordPieceTokenizer(SubwordTokenizer):
    """WordPiece: each word is cut from the left into the longest pieces that are known.

    Wu et al. 2016, arXiv:1609.08144, section 4.1. Differs from the paper: the pieces are those of byte-pair encoding,
    as in other libraries, and the first piece of a word is marked, not the others.
    """

    kind = "wordpiece"
    model_type = "bpe"

    @cached_property
    def _known(self) -> dict[str, int]:
        """Pieces, each with its length in characters."""
        processor = self._processor
        # Control characters and the sign for unknown text are no pieces of words.
        special = (processor.is_control, processor.is_unknown)
        numbers = range(processor.get_piece_size())
        pieces = [processor.id_to_piece(number) for number in numbers if not any(each(number) for each in special)]
        return {piece: len(piece) for piece in pieces}

    @cached_property
    def _longest(self) -> int:
        return max(self._known.values(), default=1)

    def pieces(self, text: str) -> list[str]:
        """Return the longest known pieces of each word, from the left."""
        return [piece for word in text.split() for piece in self._cut(SPACE + word)]

    def _cut(self, word: str) -> Iterator[str]:
        start = 0
        while start < len(word):
            ends = range(min(len(word), start + self._longest), start + 1, -1)
            end = next((end for end in ends if word[start:end] in self._known), start + 1)
            yield word[start:end]
            start = end


def _sentencepiece(kind: str) -> Any:
    """Return the module; it is imported by those who use it."""
    try:
        import sentencepiece  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ParameterError(
            f"the tokenizer '{kind}' needs the package sentencepiece", hint="pip install 'lab-ablation[subwords]'"
        ) from error
    return sentencepiece
