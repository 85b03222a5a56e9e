"""Character-level text data: one long text, its vocabulary, and windows of it.

A text of N characters has N - 1 positions, each with a next character to predict. A *window* is a run of consecutive
positions. Batches are time first: tokens (T, B) and target (T, B), which is shifted by one character.

::

    data = char_text("nietzsche", bptt=8)
    data.train[0]                                  # the first window, as a batch of one
    data.train[Window(100, 140)]                   # forty positions, from position 100 on
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from lab_basics.notes import counted, log_notes, percent
from lab_text.corpora import find_corpus
from lab_text.files import read_text
from lab_text.generation import PromptVocabulary
from lab_text.remarks import count_signs, describe_signs
from lab_text.windows import Window, WindowBatch, as_tensor, window_table, windows_of
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError

__all__ = [
    "PAD_ID",
    "UNKNOWN_ID",
    "CharData",
    "CharText",
    "CharVocabulary",
    "char_text",
]

PAD_ID, UNKNOWN_ID = 0, 1
_MAX_SHOWN, _MAX_PROMPT = 10, 200
PADDING, UNKNOWN = "\0", "\N{REPLACEMENT CHARACTER}"

_GUTENBERG = re.compile(r"^\*\*\* ?(START|END) OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.MULTILINE)


class CharVocabulary(PromptVocabulary):
    """Mapping between characters and ids: 0 is padding, 1 the unknown character, then the known ones in order.

    >>> vocabulary = CharVocabulary.of("banana", min_freq=2)
    >>> vocabulary.encode("bans").tolist()
    [1, 2, 3, 1]
    >>> vocabulary.decode([2, 3, 1])
    'an\N{REPLACEMENT CHARACTER}'

    Args:
        characters: the known characters, without padding and unknown.
    """

    def __init__(self, characters: Iterable[str]) -> None:
        self.characters = [PADDING, UNKNOWN, *characters]
        codes = [ord(character) for character in self.characters[2:]]
        # A table indexed by code point encodes a whole text in one NumPy call. Its last entry stays unknown, so that
        # larger code points can be clipped to it.
        self._ids = np.full(max(codes, default=0) + 2, UNKNOWN_ID, np.int64)
        self._ids[codes] = np.arange(2, len(self.characters))

    @classmethod
    def of(cls, text: str, *, min_freq: int = 1) -> CharVocabulary:
        """Build the vocabulary of the characters that occur at least ``min_freq`` times in a text."""
        return cls(sorted(character for character, count in Counter(text).items() if count >= min_freq))

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharVocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(tuple(self.characters))

    def encode(self, text: str) -> Tensor:
        """Return the ids (N,) long of a text's characters."""
        # Strings from other systems may hold lone surrogates, which UTF-32 refuses by default.
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        return torch.from_numpy(self._ids[np.minimum(codes, len(self._ids) - 1)])

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of a sequence of ids; padding is skipped."""
        return "".join(self.characters[number] for number in ids if number != PAD_ID)

    def unknown_in(self, text: str) -> list[str]:
        """Return the characters of a text that are not in the vocabulary, each once."""
        return [character for character in dict.fromkeys(text) if int(self.encode(character)[0]) == UNKNOWN_ID]

    @property
    def unwritable(self) -> list[int]:
        """Ids of padding and of the unknown character, which have no written form."""
        return [PAD_ID, UNKNOWN_ID]

    def prompt_ids(self, prompt: str) -> Tensor:
        """Return the ids of a prompt.

        Raises:
            ParameterError: it is empty, or has characters that are not in the vocabulary.
        """
        if not prompt:
            raise ParameterError("the prompt is empty", where="generate", hint="at least one character is needed")
        if unknown := self.unknown_in(prompt):
            lower = "" if self.unknown_in(prompt.lower()) else "write it in lower case\n"
            known = "".join(c for c in self.characters[2:] if c.isprintable())
            raise ParameterError(
                f"not in the vocabulary: {', '.join(map(repr, unknown[:_MAX_SHOWN]))}"
                + (f" and {len(unknown) - _MAX_SHOWN:,} more" if len(unknown) > _MAX_SHOWN else ""),
                where=f"prompt {prompt[:_MAX_PROMPT]!r}",
                hint=f"{lower}known: {known[:_MAX_PROMPT]}{' …' if len(known) > _MAX_PROMPT else ''}",
            )
        return self.encode(prompt)

    def known_part(self, prompt: str) -> str:
        """Return the prompt without characters that are not in the vocabulary; a known character if none is."""
        unknown = set(self.unknown_in(prompt))
        return "".join(character for character in prompt if character not in unknown) or self.characters[2]

    def continued(self, prompt: str, ids: Sequence[int]) -> str:
        """Return the prompt with these characters behind it."""
        return prompt + self.decode(ids)


class CharText:
    """Dataset of the consecutive, non-overlapping windows of ``bptt`` positions of an encoded text.

    The remainder at the end that is shorter than a window is dropped. Indexing with a :class:`Window` returns that
    window instead.

    Args:
        ids: (N,) long.
        bptt: positions per window (backpropagation through time).
    """

    def __init__(self, ids: Tensor, bptt: int) -> None:
        self.ids, self.bptt = ids, bptt

    def __len__(self) -> int:
        return max(0, len(self.ids) - 1) // self.bptt

    def __getitem__(self, index: int | Window) -> WindowBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int | Window]) -> WindowBatch:
        """Return windows of one length as a batch."""
        windows = windows_of(indices, len(self), self.bptt)
        # unfold is a view with one row per start position; windows past the end raise, where slices would be shortened.
        characters = self.ids.unfold(0, windows.length + 1, 1)[as_tensor(windows.starts)].T.contiguous()
        return WindowBatch(characters[:-1], windows.continues, characters[1:])


@attrs.define(eq=False)
class CharData(Data):
    """A text split into training and validation characters.

    Attributes:
        vocab: the vocabulary.
        vocab_size: its size, padding and unknown included.
        bptt: positions per window.
        tokens_per_character: 1, for metrics that compare tokens of different sizes.
        notes: sentences on what was read: the split, the characters, and anything that looks odd.
    """

    vocab: CharVocabulary = attrs.field(factory=lambda: CharVocabulary([]))
    vocab_size: int = 2
    bptt: int = 8
    tokens_per_character: float = 1.0
    notes: tuple[str, ...] = ()

    def batch_table(self, batch: WindowBatch, count: int) -> list[list[str]]:
        """Return the texts of the first windows of a batch, for ``lab sheet`` and ``learner.show_batch()``."""
        return window_table(self.vocab, batch, count)


def char_text(
    corpus: str = "embedded",
    *,
    path: str | Sequence[str] | None = None,
    encoding: str = "utf-8",
    bptt: int = 8,
    lower: bool = True,
    min_freq: int = 1,
    valid_share: float = 0.2,
    ascii_only: bool = False,
    max_chars: int | None = None,
    letters_only: bool = False,
) -> CharData:
    """Text for next-character prediction; the end of the text is the validation split.

    Line ends ``\\n``, ``\\r\\n`` and ``\\r`` all become ``\\n``.

    Args:
        corpus: ``embedded`` (Python's own help topics, real English, about 465,000 characters, no download),
            ``nietzsche``, ``timemachine``, ``andersen``, or another corpus whose files have the role ``text``.
        path: a text file to use instead of a corpus, plain or gzip; several are read one after the other, as one text.
        encoding: encoding of the files.
        bptt: positions per window, the length of backpropagation through time.
        lower: convert the text to lower case.
        min_freq: characters that occur fewer times in the training part are unknown.
        valid_share: fraction of the lines, from the end, that is held out for validation, in (0, 1). The text is split
            by characters instead if a split by lines would miss this fraction by more than a quarter.
        ascii_only: transliterate to ASCII (Unidecode).
        max_chars: read only the first N characters; None reads all.
        letters_only: keep ASCII letters, with one space for what stands between them, and join the lines without one,
            as *Dive into Deep Learning*, section 8.2 of the second Chinese edition; ``max_chars`` counts what is kept.

    Raises:
        DataError: a file is missing, empty, not text or in another encoding (the position is given), the text is too
            short, or no character is known.
        ParameterError: a parameter is out of range.
    """
    _check(bptt, valid_share, min_freq, max_chars)
    text, name = _read(corpus, path, encoding)
    # Counted before line ends are normalized and letters lower-cased, so that the counts are those of the file.
    remarks = describe_signs(count_signs(text.replace("\f", "")))
    text = _with_newlines(text)
    if letters_only:
        text = _letters_of(text)
    text = text[:max_chars]
    if ascii_only:
        from unidecode import unidecode

        text = unidecode(text)
    if lower:
        text = text.lower()
    train, valid, unit = _split(text, valid_share, name)
    for part, words in ((train, "training"), (valid, "validation")):
        if len(part) < bptt + 1:
            raise DataError(
                f"the {words} part has {len(part)} characters, too few for a window of bptt={bptt}",
                where=name,
                hint=f"at least {bptt + 1} are needed: use a longer text or a smaller bptt",
            )
    # From the training part alone: a character that only the validation part has must be unknown there too.
    vocabulary = CharVocabulary.of(train, min_freq=min_freq)
    ids = vocabulary.encode(train), vocabulary.encode(valid)
    unknown = [int((each == UNKNOWN_ID).sum()) for each in ids]
    _refuse_unknown(ids, unknown, name, min_freq)
    notes = [
        f"train: {counted(len(train), 'character')}, valid: {counted(len(valid), 'character')}, "
        f"{percent(len(valid), len(text))} of the text, by {unit}",
        f"{counted(len(vocabulary) - 2, 'character')} in the vocabulary, "
        f"unknown: {percent(unknown[0], len(train))} of train, {percent(unknown[1], len(valid))} of valid",
    ]
    if unknown[1] >= _MANY_UNKNOWN * len(valid):
        remarks.append(f"{percent(unknown[1], len(valid))} of the validation part are unknown characters")
    if len(vocabulary) > _MANY_CHARACTERS:
        rare = sum(count == 1 for count in Counter(train).values())
        remarks.append(
            f"{len(vocabulary) - 2:,} different characters, {rare:,} of them occur once: min_freq=2 makes these "
            "unknown, ascii_only=True transliterates to ASCII"
        )
    log_notes(name, notes, remarks)
    # bptt and min_freq change the batches although the text is the same.
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
    """Raise if no character of a part is in the vocabulary."""
    for part, each, count in zip(("training", "validation"), ids, unknown, strict=True):
        if count == len(each):
            hint = "lower min_freq" if min_freq > 1 else "the end of the text uses another alphabet than its beginning"
            raise DataError(f"no character of the {part} part is in the vocabulary", where=name, hint=hint)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _letters_of(text: str) -> str:
    """Return the letters of a text, and spaces between words of a line.

    >>> _letters_of("The Time Machine, by\n H. G. Wells")
    'The Time Machine byH G Wells'
    """
    return "".join(re.sub("[^A-Za-z]+", " ", line).strip() for line in text.split("\n"))


def _as_it_is(batch: Any) -> Any:
    return batch


def _check(bptt: int, valid_share: float, min_freq: int, max_chars: int | None) -> None:
    where = "dataset 'char_text'"
    if bptt < 1:
        raise ParameterError(f"bptt must be at least 1, got {bptt}", where=where)
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=where)
    if min_freq < 1:
        raise ParameterError(f"min_freq must be at least 1, got {min_freq}", where=where)
    if max_chars is not None and max_chars < 1:
        raise ParameterError(f"max_chars must be at least 1, got {max_chars}", where=where)


def _read(corpus: str, path: str | Sequence[str] | None, encoding: str) -> tuple[str, str]:
    """Return the text and its name in messages."""
    if path is not None:
        return _read_files([path] if isinstance(path, str) else path, encoding)
    if corpus == "embedded":
        return _embedded(), "corpus 'embedded'"
    found = find_corpus(corpus)
    if "text" not in found.files:
        raise DataError(
            f"corpus '{corpus}' is not a single text", hint="for example: embedded, nietzsche, timemachine, andersen"
        )
    text = read_text(found.path("text"), empty="the text is empty")
    return _without_license(_with_newlines(text)), f"corpus '{corpus}'"


def _read_files(paths: Sequence[str], encoding: str) -> tuple[str, str]:
    if not paths:
        raise ParameterError("path names no file", where="dataset 'char_text'", hint="path='book.txt'")
    texts = [read_text(Path(path), encoding, empty="the text is empty", pages=True) for path in paths]
    # Without a line end between them, the last word of one file and the first of the next would become one.
    joined = [text if text.endswith(("\n", "\r")) else f"{text}\n" for text in texts[:-1]]
    return "".join([*joined, texts[-1]]), paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _without_license(text: str) -> str:
    """Strip the header and license of Project Gutenberg; other texts are returned unchanged."""
    marks = {match.group(1): match for match in _GUTENBERG.finditer(text)}
    start = marks["START"].end() if "START" in marks else 0
    stop = marks["END"].start() if "END" in marks else len(text)
    # Blank lines around the markers are not part of the book.
    return text[start:stop].strip("\n") + "\n"


@cache
def _embedded() -> str:
    """Return the help topics that come with every CPython, as one text."""
    # Part of the standard library, so that examples and tests need no download.
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _split(text: str, valid_share: float, name: str) -> tuple[str, str, str]:
    """Return the training part, the validation part, and the unit of the split: lines or characters."""
    if len(text) < 2:
        raise DataError(
            f"the text is too short: {counted(len(text), 'character')}, at least 2 needed",
            where=name,
            hint="use a text of a few thousand characters or more",
        )
    lines = text.splitlines(keepends=True)
    cut = min(max(1, round(len(lines) * (1 - valid_share))), len(lines) - 1)
    position = sum(map(len, lines[:cut]))
    unit = "lines"
    # A text with one line, or with one very long line, cannot be split between lines without missing the share by far.
    if abs(1 - position / len(text) - valid_share) > _FAR_OFF * min(valid_share, 1 - valid_share):
        position, unit = round(len(text) * (1 - valid_share)), "characters"
    return text[:position], text[position:], unit


_FAR_OFF = 0.25
"""Split by lines unless the resulting share differs from the requested one by more than this fraction of it."""
