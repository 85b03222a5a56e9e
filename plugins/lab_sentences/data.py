"""Texts with labels, one or two at a time, as padded batches of words."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np
import torch
from lab_basics.notes import counted, log_notes
from lab_text.cache import content_key, entry
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.tokenizers import tokenizer_factory
from lab_text.vectors import WordVectors
from lab_text.vocabulary import PAD_ID, Vocabulary
from torch import Tensor

from lab import Data
from lab.errors import DataError, ParameterError
from lab_sentences.preparation import Keep, Labels, Pair, Preparation, Target, ids_of, labels_of, words_of
from lab_sentences.reading import Columns, Labelled, read_file, read_frame
from lab_sentences.sources import read_corpus
from lab_sentences.splits import check_split, drawn_rows, validation_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PairBatch", "TextBatch", "TextData", "Texts", "data_of_frame", "kept_data", "labelled_text"]

_WHERE = "dataset 'labelled_text'"


class TextBatch(NamedTuple):
    """A batch of B texts.

    Attributes:
        tokens: (B, T) long, filled up behind with ``pad_id``.
        target: (B,) long, the class; (B, C) float, 0 or 1 for each class; or (B,) float, the number.
    """

    tokens: Tensor
    target: Tensor


class PairBatch(NamedTuple):
    """A batch of B pairs of texts.

    Attributes:
        tokens: (B, T) long, the first texts, filled up behind with ``pad_id``.
        pair_tokens: (B, S) long, the second texts, likewise.
        target: as in ``TextBatch``.
    """

    tokens: Tensor
    pair_tokens: Tensor
    target: Tensor


class Texts:
    """Dataset of texts, or of pairs of them, as numbers of their words, with a target each.

    Args:
        ids: numbers of the words of each text.
        target: (N,) or (N, C).
        pair_ids: of each second text, or None.
    """

    def __init__(self, ids: Sequence[np.ndarray], target: Tensor, pair_ids: Sequence[np.ndarray] | None = None) -> None:
        self.ids, self.target, self.pair_ids = ids, target, pair_ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> TextBatch | PairBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> TextBatch | PairBatch:
        """Return texts as a batch, as long as its longest text."""
        target = self.target[torch.as_tensor(indices)]
        tokens = _padded([self.ids[index] for index in indices])
        if self.pair_ids is None:
            return TextBatch(tokens, target)
        return PairBatch(tokens, _padded([self.pair_ids[index] for index in indices]), target)

    def __add__(self, other: Texts) -> Texts:
        """Return the texts of both."""
        pairs = None if self.pair_ids is None or other.pair_ids is None else [*self.pair_ids, *other.pair_ids]
        return Texts([*self.ids, *other.ids], torch.cat([self.target, other.target]), pairs)


def _padded(some: Sequence[np.ndarray]) -> Tensor:
    tokens = np.full((len(some), max(map(len, some))), PAD_ID, np.int64)
    for row, words in zip(tokens, some, strict=True):
        row[: len(words)] = words
    return torch.from_numpy(tokens)


@attrs.define(eq=False)
class TextData(Data):
    """Texts with labels.

    Attributes:
        vocabulary: of the training texts.
        vocab_size: its size.
        pad_id: of padding.
        class_names: classes by their number; empty for numbers.
        output_size: number of classes, or 1 for numbers.
        text_count: number of texts that a model gets, 1 or 2.
        target_mean, target_range: of the training numbers, mean and (lowest, highest); 0 and (0, 1) for classes.
        word_vectors: vectors of the vocabulary (V, D), or None.
        preparation: from texts to numbers of words, as in training.
    """

    vocabulary: Vocabulary = attrs.field(factory=lambda: Vocabulary([]))
    vocab_size: int = 0
    pad_id: int = PAD_ID
    class_names: tuple[str, ...] = ()
    output_size: int = 0
    text_count: int = 1
    target_mean: float = 0.0
    target_range: tuple[float, float] = (0.0, 1.0)
    word_vectors: Tensor | None = None
    preparation: Preparation | None = None

    def batch_table(self, batch: TextBatch | PairBatch, count: int) -> list[list[str]]:
        """Return the words of the first texts of a batch, for ``lab sheet`` and ``learner.show_batch()``."""
        texts = [
            [
                " ".join(self.vocabulary.words[number] for number in row if number != self.pad_id)
                for row in part[:count].tolist()
            ]
            for part in batch[:-1]
        ]
        names = ["text", "second text"][: len(texts)]
        targets = [self._described(each) for each in batch.target[:count].tolist()]
        return [[*names, "target"], *map(list, zip(*texts, targets, strict=True))]

    def _described(self, target: Any) -> str:
        """Return a target as text: a class, several, or a number."""
        if not self.class_names:
            return f"{target:.4g}"
        if isinstance(target, list):
            return ", ".join(name for name, marked in zip(self.class_names, target, strict=True) if marked)
        return self.class_names[int(target)]

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, the class number of each text, if every text has one class."""
        # Of several classes per text there is a row of 0 and 1.
        return {"targets": split.target} if self.class_names and split.target.dim() == 1 else {}

    def predict(self, apply: Callable[..., Any], *inputs: Any) -> Any:
        """Return predictions of a list of texts, or of pairs of them; tensors of words go to the model as they are.

        Each is a dictionary from class to probability, or a number. With several classes per text, probabilities do
        not sum to 1.
        """
        if len(inputs) != 1 or isinstance(inputs[0], Tensor) or self.preparation is None:
            return apply(*inputs)
        texts = _examples(inputs[0], self.preparation.given)
        ids = self.preparation.encode(texts)
        found: list[Any] = [None] * len(texts)
        # by length, so that one long text does not pad all others
        order = sorted(range(len(texts)), key=lambda at: len(ids[0][at]))
        for start in range(0, len(order), 256):
            some = order[start : start + 256]
            output = apply(*(_padded([each[at] for at in some]) for each in ids))
            for at, answer in zip(some, self._answers(output.float()), strict=True):
                found[at] = answer
        return found

    def _answers(self, output: Tensor) -> list[Any]:
        assert self.preparation is not None
        kind = self.preparation.labels.kind
        if kind == "number":
            return list(output.reshape(-1).tolist())
        shares = torch.softmax(output, 1) if kind == "class" else torch.sigmoid(output)
        return [dict(zip(self.class_names, row, strict=True)) for row in shares.tolist()]


def _examples(given: Any, count: int) -> list[tuple[str, ...]]:
    """Return texts, or pairs of them, as tuples."""
    if isinstance(given, str) or (count == 2 and isinstance(given, tuple) and all(isinstance(x, str) for x in given)):
        given = [given]
    examples = [(example,) if isinstance(example, str) else tuple(example) for example in given]
    for example in examples:
        if len(example) != count or not all(isinstance(text, str) and text.strip() for text in example):
            several = 'learner.predict([("a premise", "a hypothesis")]), none empty'
            raise DataError(
                "there is no text to classify" if count == 1 else "each example needs two texts",
                hint='learner.predict(["a text", "another"]), none empty' if count == 1 else several,
            )
    if not examples:
        raise DataError("there is no text to classify", hint='learner.predict(["a text", "another"]), none empty')
    return examples


def labelled_text(
    corpus: str = "embedded",
    *,
    path: str | None = None,
    valid_path: str | None = None,
    test_path: str | None = None,
    text: str = "text",
    label: str = "label",
    text_pair: str | None = None,
    group: str | None = None,
    split: str | None = None,
    encoding: str = "utf-8",
    target: Target = "class",
    joiner: str = ",",
    pair: Pair = "separate",
    tokenizer: str | Callable[..., Tokenizer] = "whitespace",
    language: str = "en",
    max_size: int = 40_000,
    min_freq: int = 1,
    max_tokens: int = 400,
    keep: Keep = "head",
    vectors: WordVectors | None = None,
    valid_share: float = 0.1,
    folds: int | None = None,
    fold: int = 0,
    max_examples: int | None = None,
    seed: int = 0,
) -> TextData:
    """Texts, or pairs of them, with labels: from a file, a folder or a named corpus.

    Args:
        corpus: ``embedded`` (generated questions, in half of which two neighboring words changed places),
            ``embedded_pairs`` (an English and a French question: does one translate the other?), ``movie_reviews``,
            ``rte``, ``sick``, ``snli`` or ``sst2``.
        path: a CSV, TSV or JSON-lines file to use instead of a corpus, plain or gzip; or a folder with one of texts
            (``*.txt``) per class, or with such folders in ``train``, ``valid`` and ``test``.
        valid_path, test_path: files like ``path`` that validate and test.
        text, label: columns of the file.
        text_pair: column of the second texts.
        group: column of groups, which a split keeps together.
        split: column that says ``train``, ``valid`` or ``test``.
        encoding: of the files.
        target: ``class``; ``classes``, any number of them per text; or ``number``.
        joiner: between the classes of one text.
        pair: of two texts, give the model both (``separate``), both as one text (``joined``), or one of them
            (``first``, ``second``).
        tokenizer: of ``lab_text``.
        language: of the tokenizer.
        max_size: most frequent words of the training texts that are known.
        min_freq: rarer words are unknown.
        max_tokens: longer texts are cut.
        keep: the part that stays: ``head``, ``tail``, or half of either (``both``).
        vectors: word vectors to start from.
        valid_share: fraction of every class (of the groups, where there are some) that validates if there is no
            validation part, in (0, 1).
        folds: divide the texts into so many folds instead, all parts but ``test``.
        fold: the fold that validates, from 0.
        max_examples: train on N texts only, drawn from each class in proportion, as if the others had no label: the
            vocabulary is still that of all training texts.
        seed: of that split and draw, and of generated texts.

    Texts without a word are left out, and told.

    Raises:
        DataError: a file is missing or damaged, there are too few classes, a class is missing in the training part,
            labels are not of the kind of ``target``, or a part would be empty.
        ParameterError: a parameter is out of range.
    """
    options = {"target": target, "joiner": joiner, "pair": pair, "max_size": max_size, "min_freq": min_freq}
    options |= {"max_tokens": max_tokens, "keep": keep, "vectors": vectors, "valid_share": valid_share}
    options |= {"folds": folds, "fold": fold, "max_examples": max_examples, "seed": seed}
    options |= {"reading": {"encoding": encoding}}
    _check(options)
    # built first: an unknown tokenizer is found before a large file is read
    made = tokenizer_factory(tokenizer)(language=language)
    columns = Columns(text, label, text_pair, group, split)
    if path is None:
        given = [name for name, value in (("valid_path", valid_path), ("test_path", test_path)) if value is not None]
        if given:
            raise ParameterError(f"{' and '.join(given)} without path", where=_WHERE, hint="path= of the training file")
        read, name = read_corpus(corpus, seed, numbers=target == "number")
        columns = Columns(pair="text_pair" if len(read["train"].texts[0]) == 2 else None)
    else:
        read, name = read_file(Path(path), columns, encoding, joiner), path
        others = columns._replace(split=None, group=None)
        for part, other in (("valid", valid_path), ("test", test_path)):
            if other is not None:
                read[part] = read_file(Path(other), others, encoding, joiner)["train"]
    return _data(read, name, made, columns, **options)


def data_of_frame(
    frame: pd.DataFrame,
    *,
    valid: pd.DataFrame | None = None,
    test: pd.DataFrame | None = None,
    text: str = "text",
    label: str = "label",
    text_pair: str | None = None,
    group: str | None = None,
    split: str | None = None,
    tokenizer: str | Callable[..., Tokenizer] = "whitespace",
    language: str = "en",
    **options: Any,
) -> TextData:
    """Texts with labels from a pandas frame; ``valid`` and ``test`` are frames of their own, or None.

    Args:
        frame: the training texts.
        valid, test: frames with the validation and the test texts.
        text, label, text_pair, group, split: its columns.
        tokenizer, language: of the texts.
        options: those of ``labelled_text`` that are not about files.

    Raises:
        DataError: as ``labelled_text``.
    """
    known = {"target": "class", "joiner": ",", "pair": "separate", "max_size": 40_000, "min_freq": 1}
    known |= {"max_tokens": 400, "keep": "head", "vectors": None, "valid_share": 0.1}
    known |= {"folds": None, "fold": 0, "max_examples": None, "seed": 0}
    if unknown := sorted(options.keys() - known.keys()):
        raise ParameterError.among("parameter", unknown[0], list(known), where="data_of_frame")
    _check(known | options)
    columns = Columns(text, label, text_pair, group, split)
    read = read_frame(frame, columns)
    for part, other in (("valid", valid), ("test", test)):
        if other is not None:
            read[part] = read_frame(other, columns._replace(split=None, group=None), f"the frame {part}")["train"]
    made = tokenizer_factory(tokenizer)(language=language)
    return _data(read, "the frame", made, columns, reading={}, **(known | options))


def _check(options: Mapping[str, Any]) -> None:
    numbers = {name: options[name] for name in ("max_tokens", "min_freq", "max_size")}
    if min(numbers.values()) < 1:
        raise ParameterError(
            ", ".join(f"{name}={value}" for name, value in numbers.items()),
            where=_WHERE,
            hint="each is at least 1",
        )
    if not options["joiner"]:
        raise ParameterError("joiner is empty", where=_WHERE, hint="joiner=','")
    if (count := options["max_examples"]) is not None and count < 1:
        raise ParameterError(f"max_examples={count}", where=_WHERE, hint="at least 1, or None for all")
    check_split(options["valid_share"], options["folds"], options["fold"])


class _Rows(NamedTuple):
    """Examples of one split: their texts, words, labels and groups."""

    texts: list[tuple[str, ...]]
    words: list[list[list[str]]]
    labels: list[str]
    groups: list[str]

    def chosen(self, mask: np.ndarray) -> _Rows:
        """Return the examples of a mask (N,)."""
        return _Rows(*([x for x, is_chosen in zip(each, mask, strict=False) if is_chosen] for each in self))


def _data(
    read: Mapping[str, Labelled],
    name: str,
    tokenizer: Tokenizer,
    columns: Columns,
    *,
    target: Target,
    joiner: str,
    pair: Pair,
    max_size: int,
    min_freq: int,
    max_tokens: int,
    keep: Keep,
    vectors: WordVectors | None,
    valid_share: float,
    folds: int | None,
    fold: int,
    max_examples: int | None,
    seed: int,
    reading: Mapping[str, Any],
) -> TextData:
    given = pair if columns.pair is not None else None
    if given is None and pair != "separate":
        raise ParameterError(f"pair='{pair}' of single texts", where=f"{_WHERE}, {name}", hint="text_pair=COLUMN")
    # what a trainable tokenizer learns from is split by another one first
    first = tokenizer.words if isinstance(tokenizer, TrainableTokenizer) else tokenizer
    cut = partial(words_of, pair=given, max_tokens=max_tokens, keep=keep)
    parts, empty = {}, 0
    for part, found in read.items():
        rows = _Rows(found.texts, cut(first, found.texts), found.labels, found.groups)
        whole = np.array([all(words) for words in rows.words], bool)
        empty += int((~whole).sum())
        parts[part] = rows.chosen(whole)
    if not parts["train"].labels:
        raise DataError("no text has a word", where=name, hint="check the column of texts: text=...")
    if folds is not None and "valid" in parts:
        more = parts.pop("valid")
        parts["train"] = _Rows(*(a + b for a, b in zip(parts["train"], more, strict=True)))
    labels = labels_of({part: rows.labels for part, rows in parts.items()}, target, joiner, name)
    if "valid" not in parts:
        mask = validation_rows(
            parts["train"].labels,
            parts["train"].groups,
            share=valid_share,
            folds=folds,
            fold=fold,
            seed=seed,
            is_class=target == "class",
            where=name,
        )
        parts["train"], parts["valid"] = parts["train"].chosen(~mask), parts["train"].chosen(mask)
        # groups may take all texts of a class into the validation part
        labels = labels_of({part: rows.labels for part, rows in parts.items()}, target, joiner, name)
    if isinstance(tokenizer, TrainableTokenizer) and not tokenizer.is_trained:
        tokenizer = _trained(tokenizer, parts["train"].texts)
        parts = {part: rows._replace(words=cut(tokenizer, rows.texts)) for part, rows in parts.items()}
    sentences = [words for example in parts["train"].words for words in example]
    vocabulary = Vocabulary.from_tokens(sentences, max_size=max_size, min_freq=min_freq)
    if max_examples is not None and max_examples < len(parts["train"].labels):
        whole = parts["train"]
        parts["train"] = whole.chosen(drawn_rows(whole.labels, max_examples, seed, is_class=target == "class"))
        # a class of few texts may have none among those drawn
        labels = labels_of({part: rows.labels for part, rows in parts.items()}, target, joiner, name)
    splits = {part: _texts(rows, vocabulary, given, labels) for part, rows in parts.items()}
    table = None if vectors is None else vectors.table(vocabulary, lambda: sentences)
    notes = [_note(part, rows.labels, labels) for part, rows in parts.items()]
    notes += [table.note] if table is not None and table.note else []
    warnings = [f"{counted(empty, 'text')} without a word left out"] if empty else []
    warnings += _repeated(parts)
    log_notes(name, notes, warnings)
    preparation = Preparation(
        tokenizer,
        vocabulary,
        labels,
        given,
        max_tokens,
        keep,
        tuple(name for name in (columns.text, columns.pair) if name is not None),
        reading,
    )
    values = splits["train"].target if target == "number" else torch.zeros(1)
    return attrs.evolve(
        kept_data(preparation),
        train=splits["train"],
        valid=splits["valid"],
        test=splits.get("test"),
        fingerprint=_fingerprint(vocabulary, labels, splits, table),
        notes=(*notes, *warnings),
        target_mean=float(values.double().mean()),
        target_range=(float(values.min()), float(values.max())) if target == "number" else (0.0, 1.0),
        word_vectors=None if table is None else table.weights,
    )


def kept_data(preparation: Preparation, **facts: Any) -> TextData:
    """Return data without texts, which can only predict.

    Args:
        preparation: as in training.
        facts: further attributes, such as the shape of ``word_vectors``.
    """
    return TextData(
        train=(),
        valid=None,
        collate=_as_it_is,
        length=_lengths,
        vocabulary=preparation.vocabulary,
        vocab_size=len(preparation.vocabulary),
        class_names=preparation.labels.names,
        output_size=len(preparation.labels.names) or 1,
        text_count=preparation.text_count,
        preparation=preparation,
        **facts,
    )


def _trained(tokenizer: TrainableTokenizer, texts: Sequence[tuple[str, ...]]) -> Tokenizer:
    """Return the tokenizer trained on the training texts, from the cache or now."""
    lines = [text for example in texts for text in example]
    digest = hashlib.sha256("\0".join(lines).encode()).hexdigest()
    key = content_key({"sentences": digest, "tokenizer": tokenizer.identity})
    return tokenizer.trained(entry(key, lambda folder: tokenizer.train(lines, folder), [type(tokenizer)]))


def _texts(rows: _Rows, vocabulary: Vocabulary, pair: Pair | None, labels: Labels) -> Texts:
    ids = ids_of(vocabulary, rows.words, pair)
    return Texts(ids[0], labels.tensor(rows.labels), ids[1] if len(ids) == 2 else None)


def _note(part: str, labels: Sequence[str], kind: Labels) -> str:
    said = f"{part}: {counted(len(labels), 'text')}"
    if kind.kind == "number":
        values = [float(label) for label in labels]
        return f"{said}, from {min(values, default=0):g} to {max(values, default=0):g}"
    counts = Counter(name for label in labels for name in kind.split(label)).most_common(5)
    return f"{said}, {', '.join(f'{label} {count:,}' for label, count in counts)}"


def _repeated(parts: Mapping[str, _Rows]) -> list[str]:
    """Return a warning per split with texts that the training part has, too."""
    known = {_whole(words) for words in parts["train"].words}
    counts = {part: sum(_whole(words) in known for words in rows.words) for part, rows in parts.items()}
    return [
        f"{part}: {counted(count, 'text')} that the training part has, too"
        for part, count in counts.items()
        if count and part != "train"
    ]


def _whole(words: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, words))


def _as_it_is(batch: Any) -> Any:
    return batch


def _lengths(split: Texts) -> Sequence[int]:
    if split.pair_ids is None:
        return [len(words) for words in split.ids]
    return [max(len(a), len(b)) for a, b in zip(split.ids, split.pair_ids, strict=True)]


def _fingerprint(vocabulary: Vocabulary, labels: Labels, splits: Mapping[str, Texts], table: Any) -> str:
    digest = hashlib.sha256("\0".join([*vocabulary.words, "", labels.kind, *labels.names]).encode())
    for part, texts in splits.items():
        digest.update(part.encode() + texts.target.numpy().tobytes())
        for words in (*texts.ids, *(texts.pair_ids or ())):
            digest.update(len(words).to_bytes(4, "little") + words.tobytes())
    if table is not None:
        digest.update(table.weights.numpy().tobytes())
    return digest.hexdigest()
