"""Preparation of texts, from strings to numbers of words and back; and of labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np
import torch
from lab_basics.notes import counted
from lab_text.tokenizer import Tokenizer
from lab_text.vocabulary import EOS_ID, Vocabulary
from torch import Tensor

from lab.errors import DataError

__all__ = ["Keep", "Labels", "Pair", "Preparation", "Target", "labels_of"]

Keep = Literal["head", "tail", "both"]
Pair = Literal["separate", "joined", "first", "second"]
Target = Literal["class", "classes", "number"]

# More distinct numbers than this are values, not classes.
_MAX_NUMBERED_CLASSES = 20


@attrs.frozen
class Labels:
    """Labels as targets of a model.

    Attributes:
        kind: ``class``, ``classes`` (any number of them per text) or ``number``.
        names: of the classes, sorted.
        joiner: between the classes of one text.
    """

    kind: Target
    names: tuple[str, ...] = ()
    joiner: str = ","

    def split(self, label: str) -> list[str]:
        """Return the classes of one label."""
        return split_label(label, self.kind, self.joiner)

    def tensor(self, labels: Sequence[str]) -> Tensor:
        """Return class numbers (N,) long, 0 and 1 per class (N, C) float, or values (N,) float."""
        if self.kind == "number":
            return torch.tensor([float(label) for label in labels])
        numbers = {name: number for number, name in enumerate(self.names)}
        if self.kind == "class":
            return torch.tensor([numbers[label] for label in labels], dtype=torch.long)
        target = torch.zeros(len(labels), len(self.names))
        for row, label in enumerate(labels):
            target[row, [numbers[name] for name in self.split(label)]] = 1.0
        return target


def split_label(label: str, kind: Target, joiner: str) -> list[str]:
    """Return the classes of one label: the label itself unless a text has several."""
    return [label] if kind == "class" else sorted({name.strip() for name in label.split(joiner)} - {""})


def labels_of(parts: Mapping[str, Sequence[str]], kind: Target, joiner: str, where: str) -> Labels:
    """Return the labels of the splits; their classes are those of the training part.

    Raises:
        DataError: labels are missing or not of this kind, there are too few classes, or a split has one that the
            training part lacks.
    """
    if kind == "number":
        for split, labels in parts.items():
            wrong = next((number for number, label in enumerate(labels) if not _is_number(label)), None)
            if wrong is not None:
                raise DataError(
                    f"the label {labels[wrong]!r} of {split} text {wrong + 1:,} is not a number",
                    where=where,
                    hint="target='class' predicts classes",
                )
        return Labels(kind)
    counts = Counter(name for label in parts["train"] for name in split_label(label, kind, joiner))
    if "" in counts:
        raise DataError(
            f"{counted(counts[''], 'text')} without a label", where=where, hint="label them or leave them out"
        )
    least = 2 if kind == "class" else 1
    if len(counts) < least:
        raise DataError(
            f"{counted(len(counts), 'class', 'classes')} in {counted(len(parts['train']), 'text')}, "
            f"at least {least} needed",
            where=where,
            hint="name the column of the classes: label=...",
        )
    if len(counts) > _MAX_NUMBERED_CLASSES and all(map(_is_number, counts)):
        raise DataError(
            f"the labels are {len(counts):,} different numbers, which are values and not classes",
            where=where,
            hint="target='number' predicts numbers; or name another column (label=...), or write classes such as low, "
            "medium, high",
        )
    for split, labels in parts.items():
        found = {name for label in labels for name in split_label(label, kind, joiner)}
        if unknown := sorted(found - counts.keys()):
            raise DataError(
                f"the {split} part has classes that the training part lacks: {', '.join(unknown[:5])}",
                where=where,
                hint="give each class training examples",
            )
    return Labels(kind, tuple(sorted(counts)), joiner)


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


@attrs.define(eq=False)
class Preparation:
    """Everything that turns a text into the input of a model, as in training.

    Attributes:
        tokenizer: of the texts.
        vocabulary: of the training texts.
        labels: their classes, or none.
        pair: of two texts: both (``separate``), both as one with ``_eos_`` between them (``joined``), or one of them;
            None for texts without a partner.
        max_tokens: longer texts are cut.
        keep: the part that stays.
        columns: of the table that was read: ``text``, and ``pair`` where there are two.
        reading: ``encoding`` of the file.
    """

    tokenizer: Tokenizer
    vocabulary: Vocabulary
    labels: Labels
    pair: Pair | None = None
    max_tokens: int = 400
    keep: Keep = "head"
    columns: tuple[str, ...] = ()
    reading: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def given(self) -> int:
        """Number of texts of an example."""
        return 1 if self.pair is None else 2

    @property
    def text_count(self) -> int:
        """Number of texts that a model gets."""
        return 2 if self.pair == "separate" else 1

    def words(self, texts: Sequence[tuple[str, ...]]) -> list[list[list[str]]]:
        """Return the words of the one or two texts of each example, cut."""
        return words_of(self.tokenizer, texts, self.pair, self.max_tokens, self.keep)

    def ids(self, words: Sequence[Sequence[Sequence[str]]]) -> list[list[np.ndarray]]:
        """Return the numbers of words: of each text that the model gets, those of all examples."""
        return ids_of(self.vocabulary, words, self.pair)

    def encode(self, texts: Sequence[tuple[str, ...]]) -> list[list[np.ndarray]]:
        """Return the numbers of the words of texts, as ``ids``; a text without a word is one unknown word."""
        return self.ids([[each or [""] for each in example] for example in self.words(texts)])

    def shown(self, ids: Sequence[int]) -> list[str]:
        """Return the words of one text as the model sees them."""
        return [self.vocabulary.words[each] for each in ids]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON of everything but the tokenizer, of which it holds the identity."""
        return {
            "vocabulary": self.vocabulary.to_json(),
            "labels": {"kind": self.labels.kind, "names": list(self.labels.names), "joiner": self.labels.joiner},
            "pair": self.pair,
            "max_tokens": self.max_tokens,
            "keep": self.keep,
            "columns": list(self.columns),
            "reading": dict(self.reading),
            "tokenizer": self.tokenizer.identity,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], tokenizer: Tokenizer) -> Preparation:
        """Return what ``to_json`` wrote, with its tokenizer."""
        labels = content["labels"]
        return cls(
            tokenizer,
            Vocabulary.from_json(content["vocabulary"]),
            Labels(labels["kind"], tuple(labels["names"]), labels["joiner"]),
            content["pair"],
            content["max_tokens"],
            content["keep"],
            tuple(content["columns"]),
            content["reading"],
        )


def words_of(
    tokenizer: Tokenizer, texts: Sequence[tuple[str, ...]], pair: Pair | None, max_tokens: int, keep: Keep
) -> list[list[list[str]]]:
    """Return the words of the texts of each example that a model is given, cut."""
    if pair in ("first", "second"):
        texts = [(example[pair == "second"],) for example in texts]
    count = len(texts[0]) if texts else 1
    each = [[_cut(words, max_tokens, keep) for words in tokenizer.pipe(x[at] for x in texts)] for at in range(count)]
    return [list(example) for example in zip(*each, strict=True)]


def ids_of(
    vocabulary: Vocabulary, words: Sequence[Sequence[Sequence[str]]], pair: Pair | None
) -> list[list[np.ndarray]]:
    """Return the numbers of words: of each text that a model gets, those of all examples."""
    if pair == "joined":
        joined = [[*vocabulary.ids(a), EOS_ID, *vocabulary.ids(b)] for a, b in words]
        return [[np.array(example, np.int64) for example in joined]]
    count = len(words[0]) if words else 1
    return [[np.array(vocabulary.ids(example[at]), np.int64) for example in words] for at in range(count)]


def _cut(words: list[str], size: int, keep: Keep) -> list[str]:
    if len(words) <= size:
        return words
    if keep == "both" and size > 1:
        return [*words[: size - size // 2], *words[-(size // 2) :]]
    return words[-size:] if keep == "tail" else words[:size]
