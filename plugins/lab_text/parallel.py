"""Datasets of sentence pairs, for translation.

``parallel_text`` reads any two aligned files, or one with columns; ``fr_en_questions`` and ``multi30k`` read named
corpora. All give :class:`TranslationData`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lab_basics.notes import counted, log_notes, percent

from lab.errors import DataError, ParameterError
from lab.training.data import Data
from lab_text.batches import Sample, SideCoder, TranslationBatch, TranslationSplit, collate, pad
from lab_text.cache import content_key
from lab_text.corpora import Corpus, data_folder, find_corpus
from lab_text.files import check_encoding
from lab_text.learning import learned_pairs
from lab_text.reading import AlignedFiles, PairSource, TabFile
from lab_text.remarks import languages_look_swapped, remarks_on_specials
from lab_text.tokenized import Filters, TokenizedPairs, TokenizedSide, row_hashes, tokenized_pairs
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.tokenizers import tokenizer_factory
from lab_text.vectors import VectorTable, WordVectors
from lab_text.vocabulary import BOS_ID, EOS_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID, Vocabulary

__all__ = [
    "Sample",
    "TranslationBatch",
    "TranslationData",
    "TranslationSplit",
    "book_pairs",
    "fr_en_questions",
    "multi30k",
    "parallel_text",
]

_EMBEDDED_PAIRS = 20_000


@attrs.define(eq=False, kw_only=True)
class TranslationData(Data):
    """Sentence pairs as ids, with what a translation model may ask for.

    Attributes:
        source_vocab, target_vocab: of the training split, or of all splits with ``vocabulary_from="all"``.
        source_vocab_size, target_vocab_size: their sizes, including the four special tokens.
        source_vectors, target_vectors: float32 (vocabulary, width), or None.
        bos_id, pad_id, eos_id, unk_id: 0, 1, 2, 3.
        max_length: length of the longest training target, ``_eos_`` included.
        source_tokenizer, target_tokenizer: the tokenizers.
        missing_vectors: words of ``source`` and ``target`` without a word vector.
        statistics: pairs read, dropped and kept per file: ``{"train": {"read": …, "dropped_long": …}}``.
        notes: notes and warnings: how many pairs each split has, and what looks odd.
    """

    source_vocab: Vocabulary
    target_vocab: Vocabulary
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    source_vocab_size: int
    target_vocab_size: int
    source_vectors: torch.Tensor | None = None
    target_vectors: torch.Tensor | None = None
    bos_id: int = BOS_ID
    pad_id: int = PAD_ID
    eos_id: int = EOS_ID
    unk_id: int = UNK_ID
    max_length: int = 0
    missing_vectors: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    statistics: dict[str, dict[str, int]] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return source sentences as padded ids (S, B); every column ends with ``_eos_``."""
        find = self.source_vocab.ids
        return pad([torch.tensor([*find(tokens), EOS_ID]) for tokens in self.source_tokenizer.pipe(texts)])

    def batch_table(self, batch: TranslationBatch, count: int) -> list[list[str]]:
        """Return the tokens of the first pairs of a batch, for ``lab sheet`` and ``learner.show_batch()``."""
        sides = (
            [" ".join(vocab.tokens(column)) for column in ids.T[:count].tolist()]
            for vocab, ids in ((self.source_vocab, batch.source), (self.target_vocab, batch.target))
        )
        return [["source", "target"], *map(list, zip(*sides, strict=True))]

    def decode(self, ids: torch.Tensor) -> list[str]:
        """Return target ids (T, B) as sentences: up to ``_eos_``, detokenized, capitalized as in the corpus."""
        # Names and sentence beginnings get the corpus's spelling back, for scores against the original text.
        casing = self.train.pairs.target.casing if _folds_case(self.target_tokenizer) else {}
        columns = (self.target_vocab.tokens(column) for column in ids.T.tolist())
        return [self.target_tokenizer.detokenize([casing.get(word, word) for word in words]) for words in columns]


def _folds_case(tokenizer: Tokenizer) -> bool:
    # Spellings are those of whole words: a piece of one may look like another word.
    return bool(getattr(tokenizer, "lowercase", False)) and not isinstance(tokenizer, TrainableTokenizer)


def _target_lengths(split: TranslationSplit) -> npt.NDArray[np.int64]:
    return split.lengths


@attrs.frozen
class _Sources:
    """Sources of the splits; without validation pairs some of the training pairs are held out."""

    train: PairSource
    valid: PairSource | None = None
    test: PairSource | None = None


@attrs.frozen
class _Choices:
    """Parameters of a dataset after the direction is applied."""

    filters: Filters
    tokenizer: str | Callable[..., Tokenizer]
    target_tokenizer: str | Callable[..., Tokenizer] | None
    joint: bool
    percentiles: tuple[float | None, float | None]
    holdout: float
    split_seed: int
    max_size: int
    min_freq: int
    vocabulary_from: Literal["train", "all"]
    vectors: tuple[WordVectors | None, WordVectors | None]


def parallel_text(
    *,
    source: str = "",
    target: str | None = None,
    columns: tuple[int, int] = (0, 1),
    encoding: str = "utf-8",
    valid_source: str | None = None,
    valid_target: str | None = None,
    test_source: str | None = None,
    test_target: str | None = None,
    source_language: str = "fr",
    target_language: str = "en",
    reverse: bool = False,
    questions: bool = False,
    max_target_tokens: int | None = 29,
    source_percentile: float | None = 97.0,
    target_percentile: float | None = 99.0,
    holdout: float = 0.1,
    split_seed: int = 42,
    pairs: int | None = None,
    tokenizer: str | Callable[..., Tokenizer] = "spacy",
    target_tokenizer: str | Callable[..., Tokenizer] | None = None,
    joint: bool = False,
    max_size: int = 40_000,
    min_freq: int = 1,
    vocabulary_from: Literal["train", "all"] = "train",
    source_vectors: WordVectors | None = None,
    target_vectors: WordVectors | None = None,
) -> TranslationData:
    """Sentence pairs from two line-aligned files, or from one file with tab-separated columns; plain or gzip.

    Files are read as a stream; the pairs that are kept are tokenized once and cached. Validation and test files keep
    every non-empty pair at its full length.

    Args:
        source: file of source sentences, or of both; relative to the working directory or to the data directory.
        target: file of target sentences; None if ``source`` has both in columns.
        columns: positions of source and target in a single file, counted from 0.
        encoding: of the files.
        valid_source, valid_target, test_source, test_target: files of the other splits; without ``valid_source``, part
            of the training pairs is held out.
        source_language, target_language: language codes.
        reverse: swap source and target of every file.
        questions: keep pairs that begin with a question, cut to it (by ``^(Wh[^?.!]+\\?)`` in English and
            ``^([^?.!]+\\?)`` in the other language).
        max_target_tokens: drop pairs with more target tokens than this; None keeps all.
        source_percentile, target_percentile: cut sentences to this percentile of the lengths (0-100; ``_eos_`` counts);
            None does not cut.
        holdout: share of the training pairs held out for validation, in (0, 1); used without ``valid_source``.
        split_seed: seed of the held-out pairs (numpy's ``RandomState``, as in the course).
        pairs: stop after this number of pairs; None for all.
        tokenizer: of both languages, or of the source if ``target_tokenizer`` is given.
        target_tokenizer: of the target.
        joint: one vocabulary for both languages; a tokenizer that is trained learns from both.
        max_size: maximum size of each vocabulary, without special tokens.
        min_freq: rarer words become ``_unk``.
        vocabulary_from: "all" counts words of held-out pairs, too, as in the course: they then have no unknown words,
            and losses are lower than on new text.
        source_vectors, target_vectors: word vectors for the embeddings.

    Raises:
        DataError: a file is missing, empty, damaged, not UTF-8, or has another number of lines than its partner; or no
            pairs are left.
        ParameterError: no file is given, or a value is out of range.
    """
    if not source:
        raise ParameterError("no corpus file was given", where="dataset 'parallel_text'", hint="source=…, target=…")
    check_encoding(encoding, "dataset 'parallel_text'")
    for name, one, other in (("valid", valid_source, valid_target), ("test", test_source, test_target)):
        if other and not one:
            raise ParameterError(f"{name}_target has no {name}_source", where="dataset 'parallel_text'")
    sources = _Sources(
        _files(source, target, columns, encoding),
        _files(valid_source, valid_target, columns, encoding) if valid_source else None,
        _files(test_source, test_target, columns, encoding) if test_source else None,
    )
    choices = _Choices(
        Filters(source_language, target_language, questions, max_target_tokens, pairs),
        tokenizer,
        target_tokenizer,
        joint,
        (source_percentile, target_percentile),
        holdout,
        split_seed,
        max_size,
        min_freq,
        vocabulary_from,
        (source_vectors, target_vectors),
    )
    return _load(*_directed(sources, choices, reverse=reverse))


def fr_en_questions(
    *,
    corpus: str = "embedded",
    pairs: int | None = None,
    reverse: bool = False,
    questions: bool = True,
    max_target_tokens: int | None = 29,
    source_percentile: float | None = 97.0,
    target_percentile: float | None = 99.0,
    holdout: float = 0.1,
    split_seed: int = 42,
    tokenizer: str | Callable[..., Tokenizer] = "spacy",
    target_tokenizer: str | Callable[..., Tokenizer] | None = None,
    joint: bool = False,
    max_size: int = 40_000,
    min_freq: int = 1,
    vocabulary_from: Literal["train", "all"] = "train",
    source_vectors: WordVectors | None = None,
    target_vectors: WordVectors | None = None,
) -> TranslationData:
    """French questions and their English translations: the course's task.

    Args:
        corpus: ``embedded`` (generated, no download), ``tatoeba`` (8,623 questions), ``giga-fren`` (the course's), or
            any other named corpus of French and English.
        pairs: number of pairs to take, from the beginning; None for all (20,000 of ``embedded``).
        questions: false takes all sentences of a real corpus, not only questions.

    The other parameters are those of ``parallel_text``. The embedded corpus is neither filtered nor cut.
    """
    choices = _Choices(
        Filters("fr", "en", questions, max_target_tokens, pairs),
        tokenizer,
        target_tokenizer,
        joint,
        (source_percentile, target_percentile),
        holdout,
        split_seed,
        max_size,
        min_freq,
        vocabulary_from,
        (source_vectors, target_vectors),
    )
    if corpus == "embedded":
        sources = _Sources(EmbeddedPairs(pairs or _EMBEDDED_PAIRS))
        # The generated pairs are questions of moderate length already.
        choices = attrs.evolve(choices, filters=Filters("fr", "en"), percentiles=(None, None))
    else:
        sources = _Sources(_corpus_pairs(find_corpus(corpus), "fr", "en"))
    return _load(*_directed(sources, choices, reverse=reverse))


def multi30k(
    *,
    source: str = "fr",
    target: str = "en",
    pairs: int | None = None,
    max_target_tokens: int | None = 29,
    source_percentile: float | None = 97.0,
    target_percentile: float | None = 99.0,
    tokenizer: str | Callable[..., Tokenizer] = "spacy",
    target_tokenizer: str | Callable[..., Tokenizer] | None = None,
    joint: bool = False,
    max_size: int = 40_000,
    min_freq: int = 1,
    vocabulary_from: Literal["train", "all"] = "train",
    source_vectors: WordVectors | None = None,
    target_vectors: WordVectors | None = None,
) -> TranslationData:
    """Multi30k: 29,000 image captions to train on, 1,014 to validate, 1,000 (``test_2016_flickr``) to test.

    Elliott, Frank, Sima'an & Specia 2016, arXiv:1605.00459.

    Args:
        source, target: two of ``en``, ``fr``, ``de``.
        pairs: number of training pairs to take, from the beginning.

    The other parameters are those of ``parallel_text``; validation and test captions are neither dropped nor cut.
    """
    corpus = find_corpus("multi30k")
    for language in (source, target):
        if language not in corpus.languages:
            known = ", ".join(corpus.languages)
            raise ParameterError(f"multi30k has no language {language!r}", hint=f"its languages: {known}")
    splits = ("train", "val", "test_2016_flickr")
    files = [AlignedFiles(*(corpus.path(f"{split}.{code}") for code in (source, target))) for split in splits]
    choices = _Choices(
        Filters(source, target, max_target_tokens=max_target_tokens, pairs=pairs),
        tokenizer,
        target_tokenizer,
        joint,
        (source_percentile, target_percentile),
        0.0,
        0,
        max_size,
        min_freq,
        vocabulary_from,
        (source_vectors, target_vectors),
    )
    return _load(_Sources(*files), choices)


def book_pairs(
    *,
    corpus: str = "tatoeba",
    pairs: int = 600,
    reverse: bool = False,
    tokenizer: str | Callable[..., Tokenizer] = "book",
    min_freq: int = 2,
) -> TranslationData:
    """The first English sentences of a corpus and their French translations, to train and to validate on.

    *Dive into Deep Learning*, section 9.5: its file has the first 600 pairs of ``tatoeba``. The validation split has
    the pairs of training, as the book has no other, so its scores are those of what was learned by heart.

    Args:
        corpus: a named corpus of English and French, or ``embedded``.
        pairs: number of pairs.
        reverse: French to English.
        tokenizer: of both languages.
        min_freq: rarer words become ``_unk``.
    """
    choices = _Choices(
        Filters("en", "fr"),
        tokenizer,
        None,
        False,
        (None, None),
        0.0,
        0,
        40_000,
        min_freq,
        "train",
        (None, None),
    )
    first: PairSource
    if corpus == "embedded":
        first = _Reversed(EmbeddedPairs(pairs))
    else:
        first = _First(_corpus_pairs(find_corpus(corpus), "en", "fr"), pairs)
    return _load(*_directed(_Sources(first, first), choices, reverse=reverse))


@attrs.frozen
class _First:
    """The first pairs of a source."""

    whole: PairSource
    number: int

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.whole.name

    @property
    def size(self) -> int | None:
        """Bytes of the files, for a progress bar."""
        return 0

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        return {"first": self.number, "of": self.whole.identity}

    @property
    def remarks(self) -> list[str]:
        """Warnings, after reading."""
        return list(getattr(self.whole, "remarks", ()))

    def pairs(self, progress: Callable[[int], Any]) -> Iterator[tuple[str, str]]:
        """Yield (source, target) sentences."""
        return islice(self.whole.pairs(progress), self.number)


@attrs.frozen
class EmbeddedPairs:
    """Generated corpus as a source of pairs."""

    number: int

    @property
    def name(self) -> str:
        """Name in messages."""
        return "embedded"

    @property
    def size(self) -> int | None:
        """Bytes of the files, for a progress bar."""
        return 0

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        # The grammar is only imported if it is used.
        from lab_text import embedded

        return {"embedded": str(embedded.VERSION), "pairs": self.number, "seed": 0}

    def pairs(self, progress: Callable[[int], Any]) -> Iterator[tuple[str, str]]:
        """Yield (source, target) sentences."""
        from lab_text import embedded

        for pair in embedded.generate(self.number, 0):
            yield pair.french, pair.english


@attrs.frozen
class _Reversed:
    """Source of pairs with the languages swapped."""

    forward: PairSource

    @property
    def name(self) -> str:
        """Name in messages."""
        return self.forward.name

    @property
    def size(self) -> int | None:
        """Bytes of the files, for a progress bar."""
        return self.forward.size

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON that changes whenever the pairs might."""
        return {"reversed": self.forward.identity}

    @property
    def remarks(self) -> list[str]:
        """Warnings, after reading."""
        return list(getattr(self.forward, "remarks", ()))

    def pairs(self, progress: Callable[[int], Any]) -> Iterator[tuple[str, str]]:
        """Yield (source, target) sentences."""
        return ((target, source) for source, target in self.forward.pairs(progress))


def _files(source: str, target: str | None, columns: tuple[int, int], encoding: str) -> PairSource:
    if target is None:
        if min(columns) < 0 or columns[0] == columns[1]:
            raise ParameterError(
                f"columns must be two different positions from 0 on, not {columns}", where="dataset 'parallel_text'"
            )
        return TabFile(_find_file(source), columns, encoding)
    if _find_file(source) == _find_file(target):
        raise ParameterError(
            "source and target are the same file", where=source, hint="for a file with columns, give only source=…"
        )
    return AlignedFiles(_find_file(source), _find_file(target), encoding)


def _find_file(path: str) -> Path:
    """Return a file by its path, or relative to the data directory; the path itself if neither exists."""
    # The path itself if neither exists: the message then names what was given.
    here = Path(path).expanduser()
    return here if here.exists() or not (data_folder() / path).is_file() else data_folder() / path


def _corpus_pairs(corpus: Corpus, source: str, target: str) -> PairSource:
    """Return the training pairs of a named corpus: one file with columns, or one file per language."""
    if "pairs" in corpus.files and {source, target} <= set(corpus.columns):
        return TabFile(corpus.path("pairs"), (corpus.columns.index(source), corpus.columns.index(target)))
    return AlignedFiles(*(corpus.path(_role(corpus, language)) for language in (source, target)))


def _role(corpus: Corpus, language: str) -> str:
    for role in (language, f"train.{language}"):
        if role in corpus.files:
            return role
    known = ", ".join(corpus.languages)
    raise DataError(f"corpus '{corpus.name}' has no sentences in {language!r}", hint=f"its languages: {known}")


def _directed(sources: _Sources, choices: _Choices, *, reverse: bool) -> tuple[_Sources, _Choices]:
    """Return sources and choices, reversed if asked."""
    if not reverse:
        return sources, choices
    filters = choices.filters
    turned = attrs.evolve(filters, source_language=filters.target_language, target_language=filters.source_language)
    valid, test = (None if given is None else _Reversed(given) for given in (sources.valid, sources.test))
    return _Sources(_Reversed(sources.train), valid, test), attrs.evolve(choices, filters=turned)


@attrs.frozen(eq=False)
class _Language:
    """One side of the data, determined by the training split."""

    tokenizer: Tokenizer
    vocabulary: Vocabulary
    limit: int | None
    vectors: VectorTable | None

    @property
    def weights(self) -> torch.Tensor | None:
        """Vectors of the vocabulary, or None."""
        return None if self.vectors is None else self.vectors.weights


def _load(sources: _Sources, choices: _Choices) -> TranslationData:
    """Read or fetch from the cache, split, build the vocabularies, and put it all together."""
    _check_choices(choices)
    # Both are built first: a wrong language is reported before files are read.
    tokenizers = _tokenizers(choices)
    holdout = 0.0 if sources.valid is not None else choices.holdout
    # Everything below is cheap; the tokenized corpus is cached.
    if any(isinstance(each, TrainableTokenizer) and not each.is_trained for each in tokenizers):
        corpus, tokenizers = learned_pairs(
            sources.train,
            tokenizers,
            choices.filters,
            lambda size: _hold_out(size, holdout, choices.split_seed)[0],
            joint=choices.joint,
        )
    else:
        corpus = tokenized_pairs(sources.train, *tokenizers, choices.filters)
    # Validation and test sets keep every pair, so that scores are comparable with published ones.
    whole = attrs.evolve(choices.filters, questions=False, max_target_tokens=None, pairs=None)
    given = {"valid": sources.valid, "test": sources.test}
    others = {name: tokenized_pairs(s, *tokenizers, whole) for name, s in given.items() if s is not None}
    # A part is held out only if no validation file is given.
    rows, held_out = _hold_out(len(corpus), holdout, choices.split_seed)
    vocabularies = _vocabularies(corpus, rows, choices)
    languages = [
        _language(corpus, position, rows, tokenizers[position], vocabularies[position], choices) for position in (0, 1)
    ]
    splits = {"valid": _split(corpus, held_out, languages)} | {
        name: _split(pairs, np.arange(len(pairs)), languages, cut=False) for name, pairs in others.items()
    }
    train = _split(corpus, rows, languages)
    _refuse_empty(train, {**splits, "train": train}, corpus.statistics)
    notes, remarks = _described(sources, choices, train, splits, languages, {"train": corpus, **others})
    log_notes(sources.train.name, notes, remarks)
    data = _data(train, splits, languages, {"train": corpus, **others})
    return attrs.evolve(data, notes=(*notes, *remarks))


def _refuse_empty(train: TranslationSplit, splits: dict[str, TranslationSplit], statistics: dict[str, int]) -> None:
    """Raise for splits without pairs and vocabularies without words."""
    for name, split in splits.items():
        # An empty split would fail much later, in the loader.
        if not len(split):
            raise DataError(f"the split '{name}' has no pairs", hint="give more pairs, or another holdout")
    for name, coder in (("source", train.source), ("target", train.target)):
        # A model of unknown words trains without error and learns nothing.
        if not (coder.table > UNK_ID).any():
            raise DataError(
                f"the vocabulary of the {name} is empty",
                where=f"{statistics['kept']:,} pairs",
                hint="a smaller min_freq, or more pairs",
            )


def _described(
    sources: _Sources,
    choices: _Choices,
    train: TranslationSplit,
    splits: dict[str, TranslationSplit],
    languages: Sequence[_Language],
    corpora: dict[str, TokenizedPairs],
) -> tuple[list[str], list[str]]:
    """Return notes on the data and warnings of what looks odd."""
    kept = corpora["train"].statistics
    whole = len(train) + (0 if "valid" in corpora else len(splits["valid"]))
    held_out = "" if "valid" in corpora else f", {percent(len(splits['valid']), whole)} of all, drawn at random"
    notes = [
        f"train: {counted(len(train), 'pair')} ({_dropped(kept)})",
        f"valid: {counted(len(splits['valid']), 'pair')}{held_out}",
    ]
    if "test" in splits:
        notes.append(f"test: {counted(len(splits['test']), 'pair')}")
    notes += [note for pairs in corpora.values() for note in pairs.notes]
    remarks = [remark for pairs in corpora.values() for remark in pairs.remarks]
    # Hashes of tokens: pairs count as equal if a model cannot tell them apart.
    trained = row_hashes(train.pairs, train.rows)
    for name, split in splits.items():
        both = int(np.isin(row_hashes(split.pairs, split.rows), trained).sum())
        if both:
            are = "is" if both == 1 else "are"
            said = f"{counted(both, 'pair')} of '{name}' ({percent(both, len(split))}) {are} in train too"
            # Short sentences repeat in every corpus; only many of them are a warning.
            (remarks if both >= _MANY_TWINS * len(split) else notes).append(said)
    for name, language in zip(("source", "target"), languages, strict=True):
        side = train.pairs.source if name == "source" else train.pairs.target
        notes.append(f"{name}: {counted(len(language.vocabulary) - len(SPECIAL_TOKENS), 'word')} in the vocabulary")
        remarks += remarks_on_specials(name, side.words, SPECIAL_TOKENS)
        if language.vectors is not None and language.vectors.note:
            notes.append(f"{name}: {language.vectors.note}")
    codes = [choices.filters.source_language, choices.filters.target_language]
    counts = [side.counts_in_lower_case(train.rows) for side in (train.pairs.source, train.pairs.target)]
    if languages_look_swapped(*counts, codes):
        remarks.append(
            f"the sentences of the source look like '{codes[1]}' and those of the target like '{codes[0]}': "
            "change source and target, or the columns"
        )
    return notes, remarks


# Duplicates between splits below this share are a note, not a warning.
_MANY_TWINS = 0.01


def _dropped(statistics: dict[str, int]) -> str:
    reasons = {"dropped_empty": "empty on one side", "dropped_long": "too long"}
    dropped = [f"{statistics[key]:,} {reason}" for key, reason in reasons.items() if statistics[key]]
    return f"of {statistics['read']:,} read" + (f"; dropped: {', '.join(dropped)}" if dropped else "")


def _data(
    train: TranslationSplit,
    splits: dict[str, TranslationSplit],
    languages: Sequence[_Language],
    corpora: dict[str, TokenizedPairs],
) -> TranslationData:
    source, target = languages
    return TranslationData(
        train=train,
        valid=splits["valid"],
        test=splits.get("test"),
        collate=collate,
        length=_target_lengths,  # type: ignore[arg-type]
        fingerprint=_fingerprint([train, *splits.values()], languages),
        source_vocab=source.vocabulary,
        target_vocab=target.vocabulary,
        source_tokenizer=source.tokenizer,
        target_tokenizer=target.tokenizer,
        source_vocab_size=len(source.vocabulary),
        target_vocab_size=len(target.vocabulary),
        source_vectors=source.weights,
        target_vectors=target.weights,
        max_length=int(train.lengths.max(initial=0)),
        missing_vectors={
            name: language.vectors.missing
            for name, language in (("source", source), ("target", target))
            if language.vectors is not None
        },
        statistics={name: pairs.statistics for name, pairs in corpora.items()},
    )


def _check_choices(choices: _Choices) -> None:
    """Raise for values outside their ranges."""
    percentiles = [p for p in choices.percentiles if p is not None]
    limit, pairs = choices.filters.max_target_tokens, choices.filters.pairs
    checks = [
        ("holdout", choices.holdout, 0 <= choices.holdout < 1, "at least 0 and below 1"),
        ("percentile", percentiles, all(0 < p <= 100 for p in percentiles), "above 0 and at most 100"),
        ("max_target_tokens", limit, limit is None or limit > 0, "above 0"),
        ("pairs", pairs, pairs is None or pairs > 0, "above 0"),
        ("max_size", choices.max_size, choices.max_size > 0, "above 0"),
    ]
    checks.append(("split_seed", choices.split_seed, 0 <= choices.split_seed < 1 << 32, "from 0 to 2³² - 1"))
    for name, value, is_right, wanted in checks:
        if not is_right:
            raise ParameterError(f"{name} must be {wanted}, not {value}")


def _tokenizers(choices: _Choices) -> tuple[Tokenizer, Tokenizer]:
    source = tokenizer_factory(choices.tokenizer)
    target = source if choices.target_tokenizer is None else tokenizer_factory(choices.target_tokenizer)
    filters = choices.filters
    return source(language=filters.source_language), target(language=filters.target_language)


def _hold_out(size: int, part: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return training and held-out rows, both ascending, as the course drew them with ``np.random.seed``."""
    # RandomState and rand, as in the course: its split can be reproduced.
    keep = np.random.RandomState(seed).rand(size) > part if part else np.ones(size, bool)
    if not keep.any() or (part and keep.all()):
        raise DataError(
            f"{size:,} pairs are too few to hold out {part:.0%} of them", hint="use more pairs or another holdout"
        )
    return np.flatnonzero(keep), np.flatnonzero(~keep)


def _vocabularies(corpus: TokenizedPairs, rows: npt.NDArray[np.int64], choices: _Choices) -> Sequence[Vocabulary]:
    """Return the vocabularies of source and target, or twice the same one."""
    counted = rows if choices.vocabulary_from == "train" else np.arange(len(corpus))
    counts = [(side.words, side.word_counts(counted)) for side in (corpus.source, corpus.target)]
    if choices.joint:
        both: dict[str, int] = {}
        for word, count in chain.from_iterable(zip(words, each.tolist(), strict=True) for words, each in counts):
            both[word] = both.get(word, 0) + count
        counts = [(list(both), np.fromiter(both.values(), np.int64, len(both)))] * 2
    return [Vocabulary.from_arrays(*each, choices.max_size, max(1, choices.min_freq)) for each in counts]


def _language(
    corpus: TokenizedPairs,
    position: int,
    rows: npt.NDArray[np.int64],
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    choices: _Choices,
) -> _Language:
    side = (corpus.source, corpus.target)[position]
    percentile, vectors = choices.percentiles[position], choices.vectors[position]
    # Over the whole corpus, as in the course; + 1 for ``_eos_``.
    limit = None if percentile is None else int(np.percentile(side.token_counts + 1, percentile))
    table = None if vectors is None else vectors.table(vocabulary, lambda: _sentences(side, rows))
    return _Language(tokenizer, vocabulary, limit, table)


def _sentences(side: TokenizedSide, rows: npt.NDArray[np.int64]) -> Iterator[list[str]]:
    return (side.tokens(row) for row in rows.tolist())


def _split(
    pairs: TokenizedPairs, rows: npt.NDArray[np.int64], languages: Sequence[_Language], *, cut: bool = True
) -> TranslationSplit:
    coders = (
        SideCoder.of(side, language.vocabulary, language.limit if cut else None)
        for side, language in zip((pairs.source, pairs.target), languages, strict=True)
    )
    return TranslationSplit(pairs, rows, *coders)


def _fingerprint(splits: Sequence[TranslationSplit], languages: Sequence[_Language]) -> str:
    """Return a hash of everything that determines a batch."""
    # A run's key depends on this hash: whatever changes a batch must change it.
    digests = [hashlib.sha256(split.rows.tobytes()).hexdigest() for split in splits]
    tables = [language.weights for language in languages]
    weights = [None if table is None else hashlib.sha256(table.numpy().tobytes()).hexdigest() for table in tables]
    return content_key(
        {
            "corpora": [split.pairs.key for split in splits],
            "rows": digests,
            "vocabularies": [content_key(language.vocabulary.to_json()) for language in languages],
            "limits": [language.limit for language in languages],
            "vectors": weights,
        }
    )
