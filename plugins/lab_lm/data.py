"""Running text as words, subwords or characters: splits, vocabulary, and windows of it.

::

    data = text("ptb", bptt=35)
    data.train[0]                                   # the first window, as a batch of one
    data.vocab.tokens[:5]

Ids are written to the cache once and mapped into memory, so that a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lab_basics.notes import counted, log_notes, percent
from lab_text.cache import ArrayWriter, content_key, entry, load_array
from lab_text.subwords import BpeTokenizer, UnigramTokenizer, WordPieceTokenizer
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.tokenizers import tokenizer_factory
from lab_text.windows import Window, WindowBatch, as_tensor, window_table, windows_of

from lab import Data
from lab.errors import DataError, ParameterError
from lab_lm.sources import WHERE, Lines, Sources, Unit, find_sources, marked
from lab_lm.vocabulary import EOS_ID, UNK_ID, Level, TokenVocabulary

__all__ = ["RunningText", "TokenText", "text"]

_MANY_UNKNOWN = 0.2
_SUBWORDS = {"bpe": BpeTokenizer, "unigram": UnigramTokenizer, "wordpiece": WordPieceTokenizer}


class TokenText:
    """Dataset of the consecutive, non-overlapping windows of ``bptt`` positions of an encoded text.

    The remainder at the end that is shorter than a window is dropped. Indexing with a :class:`Window` returns that
    window instead.

    Args:
        ids: (N,) integers, possibly mapped into memory.
        bptt: positions per window (backpropagation through time).
    """

    def __init__(self, ids: npt.NDArray[Any], bptt: int) -> None:
        self.ids, self.bptt = ids, bptt

    def __len__(self) -> int:
        return max(0, len(self.ids) - 1) // self.bptt

    def __getitem__(self, index: int | Window) -> WindowBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int | Window]) -> WindowBatch:
        """Return windows of one length as a batch."""
        windows = windows_of(indices, len(self), self.bptt)
        # A view with one row per start position; windows past the end raise, where slices would be shortened.
        rows = np.lib.stride_tricks.sliding_window_view(self.ids, windows.length + 1)[as_tensor(windows.starts).numpy()]
        tokens = torch.from_numpy(np.ascontiguousarray(rows.T, np.int64))
        return WindowBatch(tokens[:-1], windows.continues, tokens[1:])


@attrs.define(eq=False)
class RunningText(Data):
    """A text split into training, validation and, where there is one, test tokens.

    Attributes:
        vocab: the vocabulary of the training text.
        vocab_size: its size, special tokens included.
        bptt: positions per window.
        level: ``words``, ``subwords`` or ``characters``.
        tokens_per_word: tokens of the validation text divided by its words; the end of a line counts as a word.
        tokens_per_character: tokens of the validation text divided by its characters, spaces and line ends included.
    """

    vocab: TokenVocabulary = attrs.field(factory=lambda: TokenVocabulary([]))
    vocab_size: int = 3
    bptt: int = 35
    level: str = "words"
    tokens_per_word: float = 1.0
    tokens_per_character: float = 1.0

    def batch_table(self, batch: WindowBatch, count: int) -> list[list[str]]:
        """Return the texts of the first windows of a batch, for ``lab sheet`` and ``learner.show_batch()``."""
        return window_table(self.vocab, batch, count)


def text(
    corpus: str = "embedded",
    *,
    level: Level = "words",
    path: str | Sequence[str] | None = None,
    valid_path: str | None = None,
    test_path: str | None = None,
    encoding: str = "utf-8",
    unit: Unit | None = None,
    tokenizer: str | Callable[..., Tokenizer] | None = None,
    language: str = "en",
    lower: bool = True,
    markers: bool = False,
    max_size: int | None = 60_000,
    min_freq: int | None = None,
    bptt: int = 35,
    valid_share: float = 0.1,
    max_lines: int | None = None,
    backward: bool = False,
) -> RunningText:
    """Running text for language models, as words, subwords or characters.

    Lines end with the token ``<eos>``; spaces are single. Metrics of levels compare: ``perplexity_per_word`` and
    ``bits_per_character`` count words and characters of the same text, whatever a token is. Unknown tokens are easier
    to predict than what they stand for, so levels compare best where few tokens are unknown.

    Args:
        corpus: ``embedded`` (Python's own help topics, about 68,000 words, no download), ``ptb``, or another corpus
            with files ``train`` and ``valid``, or ``text`` (``nietzsche``, ``timemachine``, ``andersen``);
            ``movie_reviews``, whose sentences are lines and whose reviews are paragraphs; ``sst2``, its phrases without
            their labels; or ``embedded_questions``, generated English questions such as ``labelled_text`` labels.
        level: what a token is.
        path: a text file to use instead of a corpus, plain or gzip; several are read one after the other.
        valid_path, test_path: files that validate and test. Without one, the end of the training file validates.
        encoding: of the files.
        unit: what ``<eos>`` ends: ``lines``, or ``paragraphs`` between blank lines; None for paragraphs of books and of
            the embedded text, else lines.
        tokenizer: of words or subwords; None for ``whitespace`` in prepared corpora and spaCy's in other texts, and
            ``bpe`` of 4,000 pieces for subwords, which is trained on the training text.
        language: of the tokenizer.
        lower: convert the text to lower case.
        markers: mark words in capitals and repeated characters as fastai does (``xxup``, ``xxrep``); words only.
        max_size: most frequent tokens that are known; None for all.
        min_freq: tokens that occur fewer times in the training text are unknown; None for 2, so that unknown tokens
            are trained on, and 1 for subwords and in prepared corpora, which have unknown tokens.
        bptt: positions per window, the length of backpropagation through time.
        valid_share: fraction of the lines, from the end, that validates if no file does, in (0, 1).
        max_lines: read only the first N lines of each part; None reads all.
        backward: reverse the tokens, for a model that reads from right to left.

    Raises:
        DataError: a file is missing, empty or not text, a part is too short, or no token of a part is known.
        ParameterError: a parameter is out of range.
    """
    _check(level, tokenizer, markers, max_size, min_freq, bptt, valid_share, max_lines)
    sources = find_sources(corpus, path, valid_path, test_path, encoding, unit)
    if min_freq is None:
        # Pieces of a trained tokenizer cover the text, so that none needs to be unknown.
        min_freq = 1 if sources.tokenized or level == "subwords" else 2
    # Built first: an unknown tokenizer is found before a large file is read.
    made = _tokenizer(level, tokenizer, language, sources)
    parts = _parts(sources, valid_share, max_lines)
    prepare = partial(_prepared, lower=lower, markers=markers)
    if isinstance(made, TrainableTokenizer) and not made.is_trained:
        made = _trained(made, sources, parts["train"], prepare, (valid_share, max_lines, unit, lower))
    choices = {
        "digest": sources.digest,
        "unit": unit or ("lines" if sources.tokenized or path is not None else "paragraphs"),
        "level": level,
        "tokenizer": None if made is None else made.identity,
        "lower": lower,
        "markers": markers,
        "max_size": max_size,
        "min_freq": min_freq,
        "share": None if "valid" in sources.parts else valid_share,
        "max_lines": max_lines,
    }
    write = partial(
        _write,
        parts=parts,
        split=_splitter(made),
        prepare=prepare,
        max_size=max_size,
        min_freq=min_freq,
        name=sources.name,
    )
    folder = entry(content_key(choices), write, [type(made)] if made is not None else [])
    return _data(folder, level, made, lower or markers, bptt, backward, sources.name, min_freq)


def _check(
    level: str,
    tokenizer: Any,
    markers: bool,
    max_size: int | None,
    min_freq: int | None,
    bptt: int,
    valid_share: float,
    max_lines: int | None,
) -> None:
    if level not in ("words", "subwords", "characters"):
        raise ParameterError(f"unknown level '{level}'", where=WHERE, hint="one of: words, subwords, characters")
    if level == "characters" and tokenizer is not None:
        raise ParameterError("characters have no tokenizer", where=WHERE, hint="level='words' or 'subwords'")
    if markers and level != "words":
        raise ParameterError(f"markers are of words, not of {level}", where=WHERE, hint="level='words'")
    least = {"bptt": bptt, "min_freq": min_freq, "max_size": max_size, "max_lines": max_lines}
    for name, value in least.items():
        if value is not None and value < 1:
            raise ParameterError(f"{name} must be at least 1, got {value}", where=WHERE)
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=WHERE)


def _tokenizer(level: Level, given: Any, language: str, sources: Sources) -> Tokenizer | None:
    if level == "characters":
        return None
    if given is None:
        if level == "subwords":
            return BpeTokenizer(language=language, vocab_size=4_000)
        given = "whitespace" if sources.tokenized else "spacy"
    # The text is converted to lower case before it is tokenized, so detokenizing must not undo it.
    options = {"lowercase": False} if given in ("whitespace", "spacy") else {}
    made = (_SUBWORDS[given] if given in _SUBWORDS else tokenizer_factory(given))(language=language, **options)
    if level == "subwords" and not isinstance(made, TrainableTokenizer):
        raise ParameterError(
            f"the tokenizer '{given}' has no subwords", where=WHERE, hint="tokenizer='bpe', or level='words'"
        )
    return made


def _splitter(tokenizer: Tokenizer | None) -> Callable[[Iterator[str]], Iterator[list[str]]]:
    return (lambda lines: map(list, lines)) if tokenizer is None else tokenizer.pipe


def _prepared(lines: Iterator[str], *, lower: bool, markers: bool) -> Iterator[str]:
    for line in lines:
        if markers:
            yield " ".join(marked(line.split()))
        else:
            yield line.lower() if lower else line


def _parts(sources: Sources, valid_share: float, max_lines: int | None) -> dict[str, Lines]:
    """Return the lines of each part; the end of the training text validates if no file does."""
    parts: dict[str, Lines] = {
        part: (lambda read=read: islice(read(), max_lines))  # type: ignore[misc]
        for part, read in sources.parts.items()
    }
    if "valid" in parts:
        return parts
    whole = parts["train"]
    count = sum(1 for _ in whole())
    if count < 2:
        raise DataError(
            f"the text is too short: {counted(count, 'line')}, at least 2 needed",
            where=sources.name,
            hint="give valid_path=, or a text of more lines",
        )
    cut = min(max(1, round(count * (1 - valid_share))), count - 1)
    return {**parts, "train": lambda: islice(whole(), cut), "valid": lambda: islice(whole(), cut, None)}


def _trained(
    tokenizer: TrainableTokenizer, sources: Sources, lines: Lines, prepare: Callable[..., Iterator[str]], how: Any
) -> Tokenizer:
    """Return the tokenizer trained on the training text, from the cache or now."""
    key = content_key({"text": sources.digest, "how": list(how), "tokenizer": tokenizer.identity})
    return tokenizer.trained(entry(key, lambda folder: tokenizer.train(prepare(lines()), folder), [type(tokenizer)]))


def _write(
    folder: Path,
    *,
    parts: dict[str, Lines],
    split: Callable[[Iterator[str]], Iterator[list[str]]],
    prepare: Callable[[Iterator[str]], Iterator[str]],
    max_size: int | None,
    min_freq: int,
    name: str,
) -> None:
    """Write the vocabulary, the ids of every part, and counts of words and characters."""
    counts: Counter[str] = Counter()
    for tokens in split(prepare(parts["train"]())):
        counts.update(tokens)
    vocabulary = TokenVocabulary.of(counts, max_size, min_freq)
    stats: dict[str, Any] = {}
    for part, lines in parts.items():
        writer, digest = ArrayWriter(folder / f"{part}.npy", "i"), hashlib.sha256()
        words = characters = unknown = number = 0

        def counting(part_lines: Iterator[str]) -> Iterator[str]:
            nonlocal words, characters, number
            for line in part_lines:
                # The end of a line is a word, and a character.
                words, characters, number = words + line.count(" ") + 2, characters + len(line) + 1, number + 1
                yield line

        for tokens in split(counting(prepare(lines()))):
            ids = np.array([*vocabulary.encode(tokens), EOS_ID], np.int32)
            unknown += int((ids == UNK_ID).sum())
            writer.extend(ids)
            digest.update(ids.tobytes())
        writer.close()
        if not number:
            raise DataError(f"the {part} part is empty", where=name, hint="give a text with words")
        stats[part] = {
            "tokens": writer.length,
            "lines": number,
            "words": words,
            "characters": characters,
            "unknown": unknown,
            "sha256": digest.hexdigest(),
        }
    content = {"tokens": vocabulary.tokens[len(vocabulary.special) :], "stats": stats, "distinct": len(counts)}
    (folder / "text.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _data(
    folder: Path,
    level: Level,
    tokenizer: Tokenizer | None,
    lower: bool,
    bptt: int,
    backward: bool,
    name: str,
    min_freq: int,
) -> RunningText:
    content = json.loads((folder / "text.json").read_text(encoding="utf-8"))
    stats = content["stats"]
    vocabulary = TokenVocabulary(content["tokens"], level, tokenizer, lower=lower)
    names = {"train": "training", "valid": "validation", "test": "test"}
    for part, found in stats.items():
        if found["tokens"] < bptt + 1:
            raise DataError(
                f"the {names[part]} part has {counted(found['tokens'], 'token')}, too few for a window of bptt={bptt}",
                where=name,
                hint=f"at least {bptt + 1} are needed: use a longer text or a smaller bptt",
            )
        if found["unknown"] == found["tokens"] - found["lines"]:
            hint = "lower min_freq" if min_freq > 1 else "training and validation text have no token in common"
            raise DataError(f"no token of the {names[part]} part is in the vocabulary", where=name, hint=hint)
    notes = [_note(part, found) for part, found in stats.items()]
    notes.append(f"{counted(len(vocabulary), 'token')} in the vocabulary of {counted(content['distinct'], 'one')} seen")
    remarks = [
        f"{percent(found['unknown'], found['tokens'])} of the {names[part]} part are unknown tokens: "
        + ("use a longer text" if level == "subwords" else "raise max_size, lower min_freq, or use level='subwords'")
        for part, found in stats.items()
        if found["unknown"] > _MANY_UNKNOWN * found["tokens"]
    ]
    log_notes(name, notes, remarks)
    order = -1 if backward else 1
    splits = {part: TokenText(load_array(folder / f"{part}.npy")[::order], bptt) for part in stats}
    valid = stats["valid"]
    key = {"stats": stats, "tokens": content["tokens"], "bptt": bptt, "backward": backward}
    return RunningText(
        splits["train"],
        splits["valid"],
        splits.get("test"),
        collate=_as_it_is,
        fingerprint=content_key(key),
        vocab=vocabulary,
        vocab_size=len(vocabulary),
        bptt=bptt,
        level=level,
        tokens_per_word=valid["tokens"] / valid["words"],
        tokens_per_character=valid["tokens"] / valid["characters"],
        notes=(*notes, *remarks),
    )


def _note(part: str, found: dict[str, Any]) -> str:
    return (
        f"{part}: {counted(found['tokens'], 'token')}, {counted(found['words'], 'word')}, "
        f"{counted(found['characters'], 'character')}, unknown: {percent(found['unknown'], found['tokens'])}"
    )


def _as_it_is(batch: Any) -> Any:
    return batch
