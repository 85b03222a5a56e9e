"""Pairs of sentences with masked tokens, for BERT."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lab_basics.notes import counted, log_notes
from lab_text.tokenizer import Tokenizer
from lab_text.tokenizers import tokenizer_factory
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab_lm.masking import Masking, mask_tokens
from lab_lm.sources import find_sources
from lab_lm.vocabulary import PAD_ID, UNK_ID, TokenVocabulary

__all__ = ["MaskedPairs", "MaskedPairsData", "PairBatch", "masked_pairs"]

WHERE = "dataset 'masked_pairs'"
EXTRA = ("<cls>", "<sep>", "<mask>")
CLS_ID, SEP_ID, MASK_ID = range(3, 6)
_END = re.compile(r"(?<=[.!?;:])\s+")


class PairBatch(NamedTuple):
    """A batch of B pairs of sentences, ``<cls> a <sep> b <sep>``.

    Attributes:
        tokens: (B, T) long, with masks, filled up behind with padding.
        segments: (B, T) long, 0 in the first sentence with its marks, 1 in the second.
        positions: (B, K) long, what is to be predicted; 0 where a pair has fewer.
        target: (B, 1 + K) long: whether b follows a, then the tokens at ``positions``, -100 where there is none.
    """

    tokens: Tensor
    segments: Tensor
    positions: Tensor
    target: Tensor


class MaskedPairs:
    """Dataset of pairs of sentences, masked by random numbers that each pair keeps.

    Args:
        ids: the tokens of each pair.
        firsts: number of tokens of the first segment of each.
        follows: (N,) whether the second sentence follows the first.
        masking: how tokens are masked.
        seed: of the random numbers.
    """

    def __init__(
        self,
        ids: Sequence[npt.NDArray[Any]],
        firsts: Sequence[int],
        follows: Sequence[bool],
        masking: Masking,
        seed: int,
    ) -> None:
        self.ids, self.firsts = ids, np.asarray(firsts)
        self.follows, self.masking = torch.tensor(follows, dtype=torch.long), masking
        longest = max(map(len, ids))
        # One width for all batches: no text has more candidates than tokens besides its three marks.
        self.width = max(1, int((longest - 3) * masking.rate + 0.5))
        self.noise = torch.rand(
            len(ids), longest, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> PairBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Return pairs as a batch, as long as its longest pair."""
        some = [self.ids[index] for index in indices]
        longest = max(map(len, some))
        tokens = np.full((len(some), longest), PAD_ID, np.int64)
        segments = np.zeros_like(tokens)
        for row, (ids, index) in enumerate(zip(some, indices, strict=True)):
            tokens[row, : len(ids)] = ids
            segments[row, self.firsts[index] : len(ids)] = 1
        noise = self.noise[list(indices), :longest]
        masked, positions, labels = mask_tokens(torch.from_numpy(tokens), noise, self.masking, self.width)
        target = torch.cat([self.follows[list(indices)].unsqueeze(1), labels], 1)
        return PairBatch(masked, torch.from_numpy(segments), positions, target)


@attrs.define(eq=False)
class MaskedPairsData(Data):
    """Pairs of sentences for masked language models and the prediction of the next sentence.

    Attributes:
        vocab: the vocabulary of the training sentences.
        vocab_size: its size, special tokens included.
        pad_id: of padding.
        max_length: longest pair, in tokens.
        masking: how training tokens are masked.
    """

    vocab: TokenVocabulary = attrs.field(factory=lambda: TokenVocabulary([], extra=EXTRA))
    vocab_size: int = 6
    pad_id: int = PAD_ID
    max_length: int = 64
    masking: Masking = attrs.field(factory=lambda: Masking(6, MASK_ID, 6))


def masked_pairs(
    corpus: str = "embedded",
    *,
    path: str | Sequence[str] | None = None,
    valid_path: str | None = None,
    encoding: str = "utf-8",
    tokenizer: str | Callable[..., Tokenizer] | None = None,
    language: str = "en",
    lower: bool = True,
    max_size: int | None = 60_000,
    min_freq: int = 2,
    max_length: int = 64,
    valid_share: float = 0.1,
    rate: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    seed: int = 0,
) -> MaskedPairsData:
    """Pairs of sentences with masked tokens (Devlin et al. 2019, arXiv:1810.04805, section 3.1).

    Every sentence is paired with its next one in half of the cases, else with a random one of the same part. Of a
    training pair, 15 % of the tokens are to be predicted, of which 80 % become ``<mask>``, 10 % a random token, and
    10 % stay. The masks are drawn once, as in the book (*Dive into Deep Learning*, 15.9); the stepper ``remasked``
    draws new ones at every step. Validation pairs always have the paper's proportions, so that arms with other ones
    compare.

    Args:
        corpus: as of ``text``; paragraphs of ``wikitext2`` and of books are split into sentences, and lines without
            punctuation, as of ``ptb``, are sentences that follow each other.
        path: a text file to use instead of a corpus, plain or gzip, with a paragraph per line; or several.
        valid_path: a file that validates. Without one, the end of the training file does.
        encoding: of the files.
        tokenizer: of words; None for ``whitespace`` in prepared corpora and spaCy's in other texts.
        language: of the tokenizer.
        lower: convert the text to lower case.
        max_size: most frequent words that are known; None for all.
        min_freq: words that occur fewer times in the training text are unknown.
        max_length: longest pair, with its three marks; the longer sentence of a pair is cut until it fits.
        valid_share: fraction of the paragraphs, from the end, that validates if no file does, in (0, 1).
        rate: fraction of the tokens of a pair to predict, at least one token.
        mask_share: fraction of these that becomes ``<mask>``.
        random_share: fraction of these that becomes a random token; the rest stays.
        seed: of pairs and masks.

    Raises:
        DataError: a file is missing, or a part has fewer than two sentences.
        ParameterError: a parameter is out of range, or nothing would be predicted.
    """
    _check(max_length, min_freq, max_size, valid_share, rate, mask_share, random_share)
    sources = find_sources(corpus, path, valid_path, None, encoding, None)
    given = tokenizer or ("whitespace" if sources.tokenized else "spacy")
    options = {"lowercase": False} if given in ("whitespace", "spacy") else {}
    made = tokenizer_factory(given)(language=language, **options)
    parts = {
        part: _sentences(sources.parts[part](), made, lower, sources.tokenized)
        for part in ("train", "valid")
        if part in sources.parts
    }
    if "valid" not in parts:
        parts = _divided(parts["train"], valid_share)
    for part, paragraphs in parts.items():
        if sum(map(len, paragraphs)) < 2 or all(len(paragraph) < 2 for paragraph in paragraphs):
            raise DataError(
                f"the {part} part has no two sentences that follow each other",
                where=sources.name,
                hint="a paragraph of two or more sentences per line",
            )
    counts = Counter(token for paragraph in parts["train"] for sentence in paragraph for token in sentence)
    vocabulary = TokenVocabulary.of(counts, max_size, min_freq, tokenizer=made, lower=lower, extra=EXTRA)
    if len(vocabulary) == len(vocabulary.special):
        raise DataError("no word is in the vocabulary", where=sources.name, hint="lower min_freq, or use a longer text")
    maskings = {
        "train": Masking(len(vocabulary), MASK_ID, len(vocabulary.special), rate, mask_share, random_share),
        "valid": Masking(len(vocabulary), MASK_ID, len(vocabulary.special)),
    }
    splits = {
        part: _paired(paragraphs, vocabulary, max_length, maskings[part], [seed, number])
        for number, (part, paragraphs) in enumerate(parts.items())
    }
    valid = np.concatenate(splits["valid"].ids)
    if bool((valid[(valid != CLS_ID) & (valid != SEP_ID)] == UNK_ID).all()):
        raise DataError("no word of the valid part is known", where=sources.name, hint="lower min_freq")
    notes = [
        f"{part}: {counted(len(split), 'pair')} of {counted(len(parts[part]), 'paragraph')}, "
        f"{counted(sum(len(s) for p in parts[part] for s in p), 'token')}"
        for part, split in splits.items()
    ]
    notes.append(f"{counted(len(vocabulary), 'token')} in the vocabulary of {counted(len(counts), 'one')} seen")
    log_notes(sources.name, notes, [])
    digest = hashlib.sha256(repr((vocabulary.tokens, maskings, max_length)).encode())
    for split in splits.values():
        digest.update(split.noise.numpy().tobytes() + split.follows.numpy().tobytes())
        digest.update(np.concatenate(split.ids).tobytes())
    return MaskedPairsData(
        splits["train"],
        splits["valid"],
        collate=_as_it_is,
        length=_lengths,
        fingerprint=digest.hexdigest(),
        vocab=vocabulary,
        vocab_size=len(vocabulary),
        max_length=max_length,
        masking=maskings["train"],
        notes=tuple(notes),
    )


def _check(
    max_length: int,
    min_freq: int,
    max_size: int | None,
    valid_share: float,
    rate: float,
    mask_share: float,
    random_share: float,
) -> None:
    if max_length < 5:
        raise ParameterError(f"max_length must be at least 5, got {max_length}", where=WHERE, hint="three are marks")
    if min_freq < 1 or (max_size is not None and max_size < 1):
        raise ParameterError(f"min_freq={min_freq}, max_size={max_size}, each must be at least 1", where=WHERE)
    if not 0 < valid_share < 1:
        raise ParameterError(f"valid_share must lie in (0, 1), got {valid_share}", where=WHERE)
    if not 0 < rate <= 1:
        raise ParameterError(
            f"rate must lie in (0, 1], got {rate}",
            where=WHERE,
            hint="without masked tokens there is nothing to predict",
        )
    if min(mask_share, random_share) < 0 or mask_share + random_share > 1:
        raise ParameterError(
            f"mask_share={mask_share} and random_share={random_share} must be at least 0 and sum to at most 1",
            where=WHERE,
        )


def _sentences(lines: Iterator[str], tokenizer: Tokenizer, lower: bool, tokenized: bool) -> list[list[list[str]]]:
    """Return paragraphs of sentences of words."""
    split: list[list[str]] = []
    for line in lines:
        line = line.lower() if lower else line
        found = [part.strip() for part in (line.split(" . ") if tokenized else _END.split(line))]
        split.append([part for part in found if part])
    if all(len(sentences) < 2 for sentences in split):
        # Lines without punctuation are sentences that follow each other.
        split = [[sentence for sentences in split for sentence in sentences]]
    words = tokenizer.pipe(sentence for sentences in split for sentence in sentences)
    return [[found for found in (next(words) for _ in sentences) if found] for sentences in split]


def _divided(paragraphs: list[list[list[str]]], valid_share: float) -> dict[str, list[list[list[str]]]]:
    if len(paragraphs) == 1:
        # One long text: its end validates.
        [sentences] = paragraphs
        cut = min(max(1, round(len(sentences) * (1 - valid_share))), max(1, len(sentences) - 1))
        return {"train": [sentences[:cut]], "valid": [sentences[cut:]]}
    cut = min(max(1, round(len(paragraphs) * (1 - valid_share))), len(paragraphs) - 1)
    return {"train": paragraphs[:cut], "valid": paragraphs[cut:]}


def _paired(
    paragraphs: list[list[list[str]]], vocabulary: TokenVocabulary, max_length: int, masking: Masking, seed: list[int]
) -> MaskedPairs:
    generator = np.random.default_rng(seed)
    encoded = [[vocabulary.encode(sentence) for sentence in paragraph] for paragraph in paragraphs]
    every = [sentence for paragraph in encoded for sentence in paragraph]
    ids, firsts, follows = [], [], []
    for paragraph in encoded:
        for first, second in pairwise(paragraph):
            is_next = bool(generator.random() < 0.5)
            other = second if is_next else every[generator.integers(len(every))]
            a, b = _cut(first, other, max_length - 3)
            ids.append(np.array([CLS_ID, *a, SEP_ID, *b, SEP_ID], np.int32))
            firsts.append(len(a) + 2)
            follows.append(is_next)
    return MaskedPairs(ids, firsts, follows, masking, int(generator.integers(2**31)))


def _cut(a: list[int], b: list[int], size: int) -> tuple[list[int], list[int]]:
    """Cut the longer of two sentences until both fit."""
    if len(a) + len(b) <= size:
        return a, b
    shorter = min(len(a), len(b), size // 2)
    return (a[:shorter], b[: size - shorter]) if len(a) <= len(b) else (a[: size - shorter], b[:shorter])


def _lengths(split: MaskedPairs) -> npt.NDArray[np.int64]:
    return np.array([len(ids) for ids in split.ids])


def _as_it_is(batch: Any) -> Any:
    return batch
