"""One long text as characters, and pieces of it.

A text of N characters has N - 1 places at which the next character can be foreseen. A *piece* is a stretch of such
places; batches are time first: tokens (T, B), target (T, B), the target one character further.

::

    data = char_text("nietzsche", bptt=8)
    data.train[0]                                  # the first piece, as a batch of one
    data.train[Piece(100, 140)]                    # forty places from the hundredth on
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, overload

import attrs
import numpy as np
import torch
from lab_text.corpora import find_corpus
from lab_text.files import read_text
from lab_text.remarks import count_signs, describe_signs, of, share, tell
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError

__all__ = [
    "PAD_ID",
    "UNKNOWN_ID",
    "CharBatch",
    "CharData",
    "CharText",
    "CharVocabulary",
    "Piece",
    "Pieces",
    "char_text",
]

PAD_ID, UNKNOWN_ID = 0, 1
PADDING, UNKNOWN = "\0", "\N{REPLACEMENT CHARACTER}"

_GUTENBERG = re.compile(r"^\*\*\* ?(START|END) OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.MULTILINE)


class Piece(NamedTuple):
    """A stretch of a text.

    Attributes:
        start: the first place; its token is the text's character at ``start``, its target the next one.
        stop: the place behind the last.
        continues: whether the batch goes on where the batch before it ended, so that a state may be carried over.
    """

    start: int
    stop: int
    continues: bool = False


@attrs.frozen
class Pieces(Sequence[Piece]):
    """The pieces of a batch, all of one length: what the samplers of this package give.

    As a sequence it holds a :class:`Piece` for each; a part of it is ``Pieces`` again, as several processes that share
    a batch need it.

    Attributes:
        starts: the first place of each; a ``range`` where they are equally far apart.
        length: places of each.
        continues: as of a piece.
    """

    starts: Sequence[int]
    length: int
    continues: bool = False

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Piece: ...
    @overload
    def __getitem__(self, index: slice) -> Pieces: ...
    def __getitem__(self, index: int | slice) -> Piece | Pieces:
        if isinstance(index, slice):
            return attrs.evolve(self, starts=self.starts[index])
        start = self.starts[index]
        return Piece(start, start + self.length, self.continues)


class CharBatch(NamedTuple):
    """Pieces side by side.

    Attributes:
        tokens: (T, B) long.
        continues: whether the batch goes on where the last one ended.
        target: (T, B) long, the next character of each.
    """

    tokens: Tensor
    continues: bool
    target: Tensor


class CharVocabulary:
    """Characters and their numbers: 0 is padding, 1 a character that is unknown, then the others in their order.

    >>> vocabulary = CharVocabulary.of("banana", min_freq=2)
    >>> vocabulary.encode("bans").tolist()
    [1, 2, 3, 1]
    >>> vocabulary.decode([2, 3, 1])
    'an\N{REPLACEMENT CHARACTER}'

    Args:
        characters: those that are known, without padding and unknown.
    """

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = [PADDING, UNKNOWN, *characters]
        codes = [ord(character) for character in self.characters[2:]]
        self._ids = np.full(max(codes, default=0) + 2, UNKNOWN_ID, np.int64)
        self._ids[codes] = np.arange(2, len(self.characters))

    @classmethod
    def of(cls, text: str, *, min_freq: int = 1) -> CharVocabulary:
        """The characters that stand in a text at least ``min_freq`` times."""
        return cls(sorted(character for character, count in Counter(text).items() if count >= min_freq))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharVocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(tuple(self.characters))

    def encode(self, text: str) -> Tensor:
        """Numbers of the characters of a text, (N,) long."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        return torch.from_numpy(self._ids[np.minimum(codes, len(self._ids) - 1)])

    def decode(self, ids: Iterable[int]) -> str:
        """The text that numbers stand for; padding is left out."""
        return "".join(self.characters[number] for number in ids if number != PAD_ID)

    def unknown_in(self, text: str) -> list[str]:
        """The characters of a text that have no number of their own, each once."""
        return [character for character in dict.fromkeys(text) if int(self.encode(character)[0]) == UNKNOWN_ID]


class CharText:
    """A split: a text of numbers, and its pieces of ``bptt`` places one after the other.

    What is left at the end and is shorter than a piece is left out. Asked for a :class:`Piece`, it gives that one.

    Args:
        ids: (N,) long.
        bptt: places of a piece.
    """

    def __init__(self, ids: Tensor, bptt: int) -> None:
        self.ids, self.bptt = ids, bptt

    def __len__(self) -> int:
        return max(0, len(self.ids) - 1) // self.bptt

    def __getitem__(self, index: int | Piece) -> CharBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int | Piece]) -> CharBatch:
        """Pieces of one length as a batch."""
        pieces = indices if isinstance(indices, Pieces) else self._pieces(indices)
        windows = self.ids.unfold(0, pieces.length + 1, 1)  # a view: the stretch that begins at each place
        characters = windows[_as_tensor(pieces.starts)].T.contiguous()
        return CharBatch(characters[:-1], pieces.continues, characters[1:])

    def _pieces(self, indices: Sequence[int | Piece]) -> Pieces:
        pieces = [self._piece(index) for index in indices]
        start, stop, continues = pieces[0]
        return Pieces([piece.start for piece in pieces], stop - start, continues)

    def _piece(self, index: int | Piece) -> Piece:
        if isinstance(index, Piece):
            return index
        if not -len(self) <= index < len(self):
            raise IndexError(f"piece {index} of {len(self)}")
        index %= len(self)
        return Piece(index * self.bptt, (index + 1) * self.bptt)


def _as_tensor(starts: Sequence[int]) -> Tensor:
    """The starts (B,); a range is made in one go, several times as fast as number by number."""
    if isinstance(starts, range):
        return torch.arange(starts.start, starts.stop, starts.step)
    return torch.tensor(starts)


@attrs.define(eq=False)
class CharData(Data):
    """A text of characters.

    Attributes:
        vocab: characters and their numbers.
        vocab_size: how many, padding and unknown included.
        bptt: places of a piece.
        notes: sentences on what was read: how the text was split, its characters, and what looks odd.
    """

    vocab: CharVocabulary = attrs.field(factory=lambda: CharVocabulary([]))
    vocab_size: int = 2
    bptt: int = 8
    notes: tuple[str, ...] = ()


def char_text(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    encoding: str = "utf-8",
    bptt: int = 8,
    lower: bool = True,
    min_freq: int = 1,
    valid_share: float = 0.2,
    ascii_only: bool = False,
    longest: int | None = None,
) -> CharData:
    """A text whose next character is to be foreseen; its end validates.

    Lines may end with ``\\n``, ``\\r\\n`` or ``\\r``; all become ``\\n``.

    Args:
        corpus: ``embedded`` (Python's own help topics, real English, about 465,000 characters, no download),
            ``nietzsche``, ``timemachine``, ``andersen``, or another corpus whose files have the role ``text``.
        path: a text file instead of a corpus, plain or gzip.
        encoding: of that file.
        bptt: places of a piece, over which errors are carried back.
        lower: in small letters.
        min_freq: rarer characters of the training part are unknown.
        valid_share: share of the lines, the last ones, that validate, in (0, 1); of the characters where the lines are
            so few or so different in length that they would give a share that differs by more than a quarter.
        ascii_only: letters without a place in ASCII are written with such that have one (Unidecode).
        longest: only so many characters from the start are read; None reads all.

    Raises:
        DataError: the file is missing, empty, no text or in another encoding (the position is given), the text is too
            short, or no character is known.
        ParameterError: a value that cannot be.
    """
    _check(bptt, valid_share, min_freq, longest)
    text, name = _read(corpus, path, encoding)
    remarks = describe_signs(count_signs(text.replace("\f", "")))
    text = _with_newlines(text)[:longest]
    if ascii_only:
        from unidecode import unidecode

        text = unidecode(text)
    if lower:
        text = text.lower()
    train, valid, unit = _split(text, valid_share, name)
    for part, words in ((train, "training"), (valid, "validation")):
        if len(part) < bptt + 1:
            raise DataError(
                f"the {words} part has {len(part)} characters, too few for a piece of bptt={bptt}",
                where=name,
                hint=f"it takes {bptt + 1}: give a longer text or a smaller bptt",
            )
    vocabulary = CharVocabulary.of(train, min_freq=min_freq)
    ids = vocabulary.encode(train), vocabulary.encode(valid)
    unknown = [int((each == UNKNOWN_ID).sum()) for each in ids]
    _refuse_unknown(ids, unknown, name, min_freq)
    notes = [
        f"train: {of(len(train), 'character')}, valid: {of(len(valid), 'character')}, "
        f"{share(len(valid), len(text))} of the text, by {unit}",
        f"{of(len(vocabulary) - 2, 'character')} in the vocabulary, "
        f"unknown: {share(unknown[0], len(train))} of train, {share(unknown[1], len(valid))} of valid",
    ]
    if unknown[1] >= _MANY_UNKNOWN * len(valid):
        remarks.append(f"{share(unknown[1], len(valid))} of the validation part are characters that count as unknown")
    if len(vocabulary) > _MANY_CHARACTERS:
        rare = sum(count == 1 for count in Counter(train).values())
        remarks.append(
            f"{len(vocabulary) - 2:,} different characters, of which {rare:,} stand once: min_freq=2 makes these "
            "unknown, ascii_only=True writes letters with those of ASCII"
        )
    tell(name, notes, remarks)
    digest = hashlib.sha256("\0".join([train, valid, str(min_freq), str(bptt)]).encode()).hexdigest()
    return CharData(
        *(CharText(each, bptt) for each in ids),
        collate=_as_it_is,
        fingerprint=digest,
        vocab=vocabulary,
        vocab_size=len(vocabulary),
        bptt=bptt,
        notes=(*notes, *remarks),
    )


_MANY_UNKNOWN = 0.01
_MANY_CHARACTERS = 1_000


def _refuse_unknown(ids: Sequence[Tensor], unknown: Sequence[int], name: str, min_freq: int) -> None:
    """Parts of a text in which no character is known."""
    for part, each, count in zip(("training", "validation"), ids, unknown, strict=True):
        if count == len(each):
            hint = "a smaller min_freq" if min_freq > 1 else "a text whose end is written like its beginning"
            raise DataError(f"no character of the {part} part is in the vocabulary", where=name, hint=hint)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _as_it_is(batch: Any) -> Any:
    return batch


def _check(bptt: int, valid_share: float, min_freq: int, longest: int | None) -> None:
    where = "dataset 'char_text'"
    if bptt < 1:
        raise ParameterError(f"bptt must be at least 1, got {bptt}", where=where)
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=where)
    if min_freq < 1:
        raise ParameterError(f"min_freq must be at least 1, got {min_freq}", where=where)
    if longest is not None and longest < 1:
        raise ParameterError(f"longest must be at least 1, got {longest}", where=where)


def _read(corpus: str, path: str | None, encoding: str) -> tuple[str, str]:
    """A text and how messages call it."""
    if path is not None:
        return read_text(Path(path), encoding, empty="the text is empty", pages=True), path
    if corpus == "embedded":
        return _embedded(), "corpus 'embedded'"
    found = find_corpus(corpus)
    if "text" not in found.files:
        raise DataError(
            f"corpus '{corpus}' is no single text", hint="for example: embedded, nietzsche, timemachine, andersen"
        )
    text = read_text(found.path("text"), empty="the text is empty")
    return _without_licence(_with_newlines(text)), f"corpus '{corpus}'"


def _without_licence(text: str) -> str:
    """A text of Project Gutenberg without what stands before and behind it; any other as it is."""
    marks = {match.group(1): match for match in _GUTENBERG.finditer(text)}
    start = marks["START"].end() if "START" in marks else 0
    stop = marks["END"].start() if "END" in marks else len(text)
    return text[start:stop].strip("\n") + "\n"


@cache
def _embedded() -> str:
    """The help topics that come with every CPython, as one text."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _split(text: str, valid_share: float, name: str) -> tuple[str, str, str]:
    """The beginning and the end, and whether they were cut between lines or characters."""
    if len(text) < 2:
        raise DataError(
            f"a text of {len(text)} character{'' if len(text) == 1 else 's'} has nothing to foresee",
            where=name,
            hint="give it a text of a few thousand characters or more",
        )
    lines = text.splitlines(keepends=True)
    cut = min(max(1, round(len(lines) * (1 - valid_share))), len(lines) - 1)
    place = sum(map(len, lines[:cut]))
    unit = "lines"
    if abs(1 - place / len(text) - valid_share) > _FAR_OFF * min(valid_share, 1 - valid_share):
        place, unit = round(len(text) * (1 - valid_share)), "characters"
    return text[:place], text[place:], unit


_FAR_OFF = 0.25
"""Lines serve as long as the share that they give differs by no more than this part of the one asked for."""
