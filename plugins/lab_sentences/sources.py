"""Named corpora of labelled texts, and generated ones."""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lab_text.corpora import Corpus, find_corpus
from lab_text.reading import read_lines

from lab.errors import DataError, ParameterError
from lab.training.rng import derive_seed
from lab_sentences.reading import Columns, Labelled, read_file

__all__ = ["CORPORA", "exchanged", "movie_reviews", "read_corpus", "rte", "sick", "snli", "sst2", "translations"]

EMBEDDED = 6_000


def sst2() -> Corpus:
    """Stanford Sentiment Treebank with two classes: 67,349 phrases to learn from, 872 sentences to test."""
    return Corpus(
        name="sst2",
        title="Stanford Sentiment Treebank, positive or negative phrases",
        languages=("en",),
        license="research use",
        publisher="https://nlp.stanford.edu/sentiment/",
        files={part: (f"sst2/{part}.tsv.gz", f"sst2/{part}.tsv") for part in ("train", "dev", "test")},
        note="there is no automatic download",
    )


def movie_reviews() -> Corpus:
    """Film reviews (Pang & Lee 2004), 1,000 positive and 1,000 negative."""
    return Corpus(
        name="movie_reviews",
        title="2,000 film reviews, positive or negative",
        languages=("en",),
        license="research use",
        publisher="https://www.cs.cornell.edu/people/pabo/movie-review-data/",
        files={"reviews": ("movie_reviews/movie_reviews.zip",)},
        note="there is no automatic download",
    )


def snli() -> Corpus:
    """Stanford Natural Language Inference (Bowman et al. 2015), its development and test parts."""
    return Corpus(
        name="snli",
        title="sentence pairs: entailment, contradiction or neutral; the parts dev and test",
        languages=("en",),
        license="CC BY-SA 4.0",
        publisher="https://nlp.stanford.edu/projects/snli/",
        files={
            f"{part}.{split}": (f"snli/{part}.{split}.gz", f"snli/{part}.{split}")
            for split in ("dev", "test")
            for part in ("s1", "s2", "labels")
        },
        note="there is no automatic download",
    )


def sick() -> Corpus:
    """Sentences Involving Compositional Knowledge (Marelli et al. 2014): entailment, and relatedness from 1 to 5."""
    return Corpus(
        name="sick",
        title="9,840 sentence pairs with entailment and relatedness",
        languages=("en",),
        license="CC BY-NC-SA 3.0",
        publisher="https://zenodo.org/record/2787612",
        files={"pairs": ("sick/SICK.txt.gz", "sick/SICK.txt")},
        note="there is no automatic download",
    )


def rte() -> Corpus:
    """Recognizing Textual Entailment, challenges 1 to 3 (Dagan et al. 2005)."""
    return Corpus(
        name="rte",
        title="4,167 pairs of texts: does the second follow from the first?",
        languages=("en",),
        license="research use",
        publisher="https://aclanthology.org/W07-1401/",
        files={"pairs": ("rte/rte.zip",)},
        note="there is no automatic download",
    )


def read_corpus(name: str, seed: int, *, numbers: bool = False) -> tuple[dict[str, Labelled], str]:
    """Return the splits of a named corpus, those that it has, and its name in messages.

    Args:
        name: of a labelled corpus.
        seed: of generated texts.
        numbers: take labels that are numbers, where a corpus has both.

    Raises:
        ParameterError: it is not a labelled corpus, or has no numbers.
        DataError: a file is missing or damaged.
    """
    if name not in CORPORA:
        raise ParameterError(
            f"corpus '{name}' has no labels",
            where="dataset 'labelled_text'",
            hint=f"{', '.join(sorted(CORPORA))}, or path=",
        )
    if numbers and name != "sick":
        raise ParameterError(
            f"the labels of corpus '{name}' are classes, not numbers",
            where="dataset 'labelled_text'",
            hint="corpus='sick' has both, or path= with a column of numbers",
        )
    return CORPORA[name](seed, numbers), f"corpus '{name}'"


def exchanged(count: int, seed: int) -> Labelled:
    """Return generated questions; in half of them, two neighboring words changed places.

    Words themselves tell nothing, so a bag of words stays at chance.
    """
    from lab_text.embedded import generate, tokens

    generator = np.random.default_rng(derive_seed(seed, "sentences", "exchanged"))
    texts: list[tuple[str, ...]] = []
    labels = []
    # English repeats itself where French does not
    seen: set[str] = set()
    for pair in generate(2 * count):
        if pair.english in seen:
            continue
        seen.add(pair.english)
        words = tokens(pair.english)
        if generator.random() < 0.5:
            place = int(generator.integers(0, len(words) - 2))
            words = [*words[:place], words[place + 1], words[place], *words[place + 2 :]]
            labels.append("exchanged")
        else:
            labels.append("intact")
        texts.append((" ".join(words).lower(),))
        if len(texts) == count:
            break
    return Labelled(texts, labels)


def translations(count: int, seed: int) -> Labelled:
    """Return pairs of an English and a French question; in half of them the second translates the first.

    In the others, it translates a question that begins with the same word. Each text alone tells nothing, as every
    question stands in one pair only and both classes have questions of all kinds.
    """
    from lab_text.embedded import generate, tokens

    generator = np.random.default_rng(derive_seed(seed, "sentences", "translations"))
    rows = [(tokens(pair.english), tokens(pair.french)) for pair in generate(count)]
    by_start: dict[str, list[int]] = defaultdict(list)
    for number, (english, _) in enumerate(rows):
        by_start[english[0].lower()].append(number)
    other = list(range(len(rows)))
    for numbers in by_start.values():
        mixed = generator.permutation([number for number in numbers if generator.random() < 0.5])
        # a cycle: every question moves, and none is used twice
        for place, number in enumerate(mixed):
            other[number] = int(mixed[place - 1])
    texts: list[tuple[str, ...]] = []
    labels = []
    for number, (english, _) in enumerate(rows):
        french = rows[other[number]][1]
        texts.append((" ".join(english).lower(), " ".join(french).lower()))
        labels.append("translation" if other[number] == number else "other")
    return Labelled(texts, labels)


def _sst2(seed: int, numbers: bool) -> dict[str, Labelled]:
    corpus, named = find_corpus("sst2"), {"0": "negative", "1": "positive"}
    splits = {}
    for split, part in {"train": "train", "valid": "dev", "test": "test"}.items():
        found = read_file(corpus.path(part), Columns("sentence", "label"))["train"]
        splits[split] = found._replace(labels=[named.get(label, label) for label in found.labels])
    return splits


def _reviews(seed: int, numbers: bool) -> dict[str, Labelled]:
    path = find_corpus("movie_reviews").path("reviews")
    texts: list[tuple[str, ...]] = []
    labels = []
    named = {"pos": "positive", "neg": "negative"}
    for name, content in _members(path, ".txt"):
        parts = Path(name).parts
        if len(parts) > 1 and parts[-2] in named:
            texts.append((content.decode("latin-1"),))
            labels.append(named[parts[-2]])
    return {"train": Labelled(texts, labels)}


def _snli(seed: int, numbers: bool) -> dict[str, Labelled]:
    corpus = find_corpus("snli")
    splits = {}
    for split, part in {"train": "dev", "test": "test"}.items():
        paths = [corpus.path(f"{column}.{part}") for column in ("s1", "s2", "labels")]
        premises, hypotheses, labels = (list(read_lines(path)) for path in paths)
        if not len(premises) == len(hypotheses) == len(labels):
            raise DataError(
                f"{len(premises):,} premises, {len(hypotheses):,} hypotheses and {len(labels):,} labels",
                where=str(paths[0]),
                hint="fetch the files again",
            )
        # three hypotheses share a premise, so the premise is the group
        splits[split] = Labelled(list(zip(premises, hypotheses, strict=True)), [x.strip() for x in labels], premises)
    return splits


def _sick(seed: int, numbers: bool) -> dict[str, Labelled]:
    path = find_corpus("sick").path("pairs")
    splits: dict[str, Labelled] = {name: Labelled([], [], []) for name in ("train", "valid", "test")}
    named = {"TRAIN": "train", "TRIAL": "valid", "TEST": "test"}
    for line, row in enumerate((line.split("\t") for line in read_lines(path)), 1):
        if len(row) < 12 or row[11].strip() not in named:
            raise DataError(f"line {line:,} is not a pair of SICK", where=str(path), hint="fetch the file again")
        part = splits[named[row[11].strip()]]
        part.texts.append((row[1], row[2]))
        part.labels.append(row[4] if numbers else row[3].lower())
        # pairs are variants of one image's captions
        part.groups.append(row[7])
    return splits


def _rte(seed: int, numbers: bool) -> dict[str, Labelled]:
    path = find_corpus("rte").path("pairs")
    splits: dict[str, Labelled] = {"train": Labelled([], []), "test": Labelled([], [])}
    for name, content in _members(path, ".xml"):
        part = splits["test" if "_test" in name else "train"]
        try:
            pairs = list(ET.fromstring(content).iter("pair"))
        except ET.ParseError as error:
            raise DataError(f"{name} is not XML: {error}", where=str(path), hint="fetch it again") from error
        for pair in pairs:
            # the first challenge writes value="TRUE", the later ones entailment="YES"
            answer = (pair.get("entailment") or pair.get("value") or "").upper()
            part.texts.append((pair.findtext("t") or "", pair.findtext("h") or ""))
            part.labels.append("entailment" if answer in ("YES", "TRUE") else "no entailment")
    return splits


def _members(path: Path, suffix: str) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [(name, archive.read(name)) for name in sorted(archive.namelist()) if name.endswith(suffix)]
    except (zipfile.BadZipFile, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"not a zip archive: {error}", where=str(path), hint="fetch it again") from error


CORPORA: dict[str, Callable[[int, bool], dict[str, Labelled]]] = {
    "embedded": lambda seed, numbers: {"train": exchanged(EMBEDDED, seed)},
    "embedded_pairs": lambda seed, numbers: {"train": translations(EMBEDDED, seed)},
    "movie_reviews": _reviews,
    "rte": _rte,
    "sick": _sick,
    "snli": _snli,
    "sst2": _sst2,
}
"""Labelled corpora by name."""
