"""Texts with a class each, as padded batches of words."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import attrs
import numpy as np
import torch
from lab_basics.notes import counted, log_notes
from lab_text.tokenizer import Tokenizer
from lab_text.tokenizers import tokenizer_factory
from lab_text.vectors import WordVectors
from lab_text.vocabulary import PAD_ID, Vocabulary
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed
from lab_sentences.sources import read_corpus, read_file

__all__ = ["TextBatch", "TextData", "Texts", "labelled_text"]

# More distinct numbers than this are values, not classes.
_MAX_NUMBERED_CLASSES = 20


class TextBatch(NamedTuple):
    """A batch of B texts.

    Attributes:
        tokens: (B, T) long, filled up behind with ``pad_id``.
        target: (B,) long, the class.
    """

    tokens: Tensor
    target: Tensor


class Texts:
    """Dataset of texts, as ids of their words, with a class each."""

    def __init__(self, ids: Sequence[np.ndarray], target: Tensor) -> None:
        self.ids, self.target = ids, target

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> TextBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> TextBatch:
        """Return texts as a batch, as long as its longest text."""
        some = [self.ids[index] for index in indices]
        tokens = np.full((len(some), max(map(len, some))), PAD_ID, np.int64)
        for row, words in zip(tokens, some, strict=True):
            row[: len(words)] = words
        return TextBatch(torch.from_numpy(tokens), self.target[torch.as_tensor(indices)])


@attrs.define(eq=False)
class TextData(Data):
    """Texts with a class each.

    Attributes:
        vocabulary: of the training texts.
        vocab_size: its size.
        pad_id: of padding.
        class_names: labels by their number.
        output_size: number of classes.
        word_vectors: vectors of the vocabulary (V, D), or None.
        tokenize: from texts to tensors of words, as in training.
    """

    vocabulary: Vocabulary = attrs.field(factory=lambda: Vocabulary([]))
    vocab_size: int = 0
    pad_id: int = PAD_ID
    class_names: tuple[str, ...] = ()
    output_size: int = 0
    word_vectors: Tensor | None = None
    tokenize: Callable[[Sequence[str]], list[np.ndarray]] = list

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Return class name → probability for each text of a list; tensors of words go to the model as they are."""
        if len(inputs) != 1 or isinstance(inputs[0], Tensor):
            return apply(*inputs)
        texts = [inputs[0]] if isinstance(inputs[0], str) else list(inputs[0])
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError("there is no text to classify", hint='learner.predict(["a text", "another"]), none empty')
        batch = Texts(self.tokenize(texts), torch.zeros(len(texts), dtype=torch.long)).__getitems__(range(len(texts)))
        shares = torch.softmax(apply(batch.tokens).float(), 1).tolist()
        return [dict(zip(self.class_names, row, strict=True)) for row in shares]


def labelled_text(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    text: str = "text",
    label: str = "label",
    encoding: str = "utf-8",
    tokenizer: str | Callable[..., Tokenizer] = "whitespace",
    language: str = "en",
    max_size: int = 40_000,
    min_freq: int = 1,
    max_tokens: int = 400,
    keep: Literal["head", "tail", "both"] = "head",
    vectors: WordVectors | None = None,
    valid_share: float = 0.1,
    seed: int = 0,
) -> TextData:
    """Texts with a class each, from a file or a named corpus.

    Args:
        corpus: ``embedded`` (generated questions, in half of which two neighboring words changed places), ``sst2`` or
            ``movie_reviews``.
        path: a CSV, TSV or JSON-lines file to use instead of a corpus, plain or gzip.
        text, label: columns of the file.
        encoding: of the file.
        tokenizer: of ``lab_text``.
        language: of the tokenizer.
        max_size: most frequent words of the training texts that are known.
        min_freq: rarer words are unknown.
        max_tokens: longer texts are cut.
        keep: the part that stays: ``head``, ``tail``, or half of either (``both``).
        vectors: word vectors to start from.
        valid_share: fraction of every class that validates where there is no validation part, in (0, 1).
        seed: of that split.

    Texts without a word are left out, and told.

    Raises:
        DataError: a file is missing or damaged, there are fewer than two classes, a class is missing in the training
            part, or labels are numbers with too many values.
        ParameterError: a parameter is out of range.
    """
    if max_tokens < 1 or min_freq < 1 or max_size < 1 or not 0 < valid_share < 1:
        raise ParameterError(
            f"max_tokens={max_tokens}, min_freq={min_freq}, max_size={max_size}, valid_share={valid_share}",
            where="dataset 'labelled_text'",
            hint="the first three are at least 1, valid_share lies in (0, 1)",
        )
    if path is None:
        read, name = read_corpus(corpus, seed)
    else:
        read, name = {"train": read_file(Path(path), text, label, encoding)}, path
    tokenize_texts = partial(_tokens, tokenizer_factory(tokenizer)(language=language), max_tokens, keep)
    parts, empty = {}, 0
    for split, (texts, labels) in read.items():
        rows = [(words, y) for words, y in zip(tokenize_texts(texts), labels, strict=True) if words]
        empty += len(texts) - len(rows)
        parts[split] = rows
    names = _class_names(parts, name)
    if "valid" not in parts:
        parts["train"], parts["valid"] = _stratified(parts["train"], valid_share, seed, name)
    vocabulary = Vocabulary.from_tokens((words for words, _ in parts["train"]), max_size=max_size, min_freq=min_freq)
    numbers = {each: number for number, each in enumerate(names)}
    splits = {
        split: Texts(
            [np.array(vocabulary.ids(words), np.int64) for words, _ in rows],
            torch.tensor([numbers[y] for _, y in rows]),
        )
        for split, rows in parts.items()
    }
    table = None if vectors is None else vectors.table(vocabulary, lambda: (words for words, _ in parts["train"]))
    notes = [_note(split, rows) for split, rows in parts.items()]
    notes += [table.note] if table is not None and table.note else []
    warnings = [f"{counted(empty, 'text')} without a word left out"] if empty else []
    warnings += _repeated(parts)
    log_notes(name, notes, warnings)
    return TextData(
        splits["train"],
        splits["valid"],
        splits.get("test"),
        collate=_as_it_is,
        length=_lengths,
        fingerprint=_fingerprint(vocabulary, names, splits, table),
        notes=(*notes, *warnings),
        vocabulary=vocabulary,
        vocab_size=len(vocabulary),
        class_names=tuple(names),
        output_size=len(names),
        word_vectors=None if table is None else table.weights,
        tokenize=lambda texts: [np.array(vocabulary.ids(words or [""]), np.int64) for words in tokenize_texts(texts)],
    )


def _tokens(tokenizer: Tokenizer, max_tokens: int, keep: str, texts: Sequence[str]) -> list[list[str]]:
    return [_cut(words, max_tokens, keep) for words in tokenizer.pipe(texts)]


def _cut(words: list[str], size: int, keep: str) -> list[str]:
    if len(words) <= size:
        return words
    if keep == "both" and size > 1:
        return [*words[: size - size // 2], *words[-(size // 2) :]]
    return words[-size:] if keep == "tail" else words[:size]


def _class_names(parts: Mapping[str, Sequence[tuple[Any, str]]], name: str) -> list[str]:
    """Return the labels of the training part, sorted; raise unless they are classes."""
    counts = Counter(label for _, label in parts["train"])
    if "" in counts:
        raise DataError(
            f"{counted(counts[''], 'text')} without a label", where=name, hint="label them or leave them out"
        )
    if len(counts) < 2:
        raise DataError(
            f"{counted(len(counts), 'class', 'classes')} in {counted(counts.total(), 'text')}, at least 2 needed",
            where=name,
            hint="name the column of the classes: label=...",
        )
    if len(counts) > _MAX_NUMBERED_CLASSES and all(map(_is_number, counts)):
        raise DataError(
            f"the labels are {len(counts):,} different numbers, which are values and not classes",
            where=name,
            hint="name another column (label=...), or write classes such as low, medium, high",
        )
    for split, rows in parts.items():
        if unknown := sorted({label for _, label in rows} - counts.keys()):
            raise DataError(
                f"the {split} part has classes that the training part lacks: {', '.join(unknown[:5])}",
                where=name,
                hint="give each class training examples",
            )
    return sorted(counts)


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _stratified(rows: Sequence[Any], share: float, seed: int, name: str) -> tuple[list[Any], list[Any]]:
    """Return training and validation rows, each class divided alike; a single example of a class stays in training."""
    generator = np.random.default_rng(derive_seed(seed, "sentences", "split"))
    chosen: set[int] = set()
    for label in sorted({label for _, label in rows}):
        own = np.array([number for number, row in enumerate(rows) if row[1] == label])
        size = min(max(1, round(len(own) * share)), len(own) - 1)
        chosen.update(generator.permutation(own)[:size].tolist())
    if not chosen:
        raise DataError(
            "no class has two texts, so none can validate", where=name, hint="give each class several texts"
        )
    divided: tuple[list[Any], list[Any]] = ([], [])
    for number, row in enumerate(rows):
        divided[number in chosen].append(row)
    return divided


def _note(split: str, rows: Sequence[tuple[Sequence[str], str]]) -> str:
    counts = Counter(label for _, label in rows).most_common(5)
    return f"{split}: {counted(len(rows), 'text')}, {', '.join(f'{label} {count:,}' for label, count in counts)}"


def _repeated(parts: Mapping[str, Sequence[tuple[Sequence[str], str]]]) -> list[str]:
    """Return a warning per split with texts that the training part has, too."""
    known = {tuple(words) for words, _ in parts["train"]}
    counts = {
        split: sum(tuple(words) in known for words, _ in rows) for split, rows in parts.items() if split != "train"
    }
    return [f"{split}: {counted(n, 'text')} that the training part has, too" for split, n in counts.items() if n]


def _as_it_is(batch: Any) -> Any:
    return batch


def _lengths(split: Texts) -> Sequence[int]:
    return [len(words) for words in split.ids]


def _fingerprint(vocabulary: Vocabulary, names: Sequence[str], splits: Mapping[str, Texts], table: Any) -> str:
    digest = hashlib.sha256("\0".join([*vocabulary.words, "", *names]).encode())
    for split, texts in splits.items():
        digest.update(split.encode() + texts.target.numpy().tobytes())
        for words in texts.ids:
            digest.update(len(words).to_bytes(4, "little") + words.tobytes())
    if table is not None:
        digest.update(table.weights.numpy().tobytes())
    return digest.hexdigest()
