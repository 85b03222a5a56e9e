"""Texts in sentences, and word lists for evaluation, in the data directory."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from lab_text.corpora import Corpus, find_corpus
from lab_text.files import read_text

from lab.errors import DataError

__all__ = ["ptb", "read_sentences", "wikitext2", "word_eval"]

Sentences = list[list[str]]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+|\n\s*\n")


def ptb() -> Corpus:
    """Penn Treebank as prepared by Mikolov: 42,068 training sentences, one per line."""
    return Corpus(
        name="ptb",
        title="Penn Treebank in Mikolov's preparation, one sentence per line",
        languages=("en",),
        license="LDC; redistributed for research on language models",
        publisher="https://catalog.ldc.upenn.edu/LDC99T42",
        files={part: (f"ptb/ptb.{part}.txt.gz", f"ptb/ptb.{part}.txt") for part in ("train", "valid", "test")},
        note="there is no automatic download",
    )


def wikitext2() -> Corpus:
    """WikiText-2 (Merity et al. 2016, arXiv:1609.07843), one paragraph per line."""
    return Corpus(
        name="wikitext2",
        title="WikiText-2, one paragraph per line",
        languages=("en",),
        license="CC BY-SA 3.0",
        publisher="https://www.salesforce.com/products/einstein/ai-research/the-wikitext-dependency-language-modeling-dataset/",
        files={
            part: (f"wikitext2/wiki.{part}.tokens.gz", f"wikitext2/wiki.{part}.tokens")
            for part in ("train", "valid", "test")
        },
        note="there is no automatic download; without its training part, the validation part is split",
    )


def word_eval() -> Corpus:
    """WordSim-353, SimLex-999 and the Google analogies."""
    return Corpus(
        name="word_eval",
        title="WordSim-353, SimLex-999 and 19,544 analogies",
        languages=("en",),
        license="research use",
        publisher="https://code.google.com/archive/p/word2vec/",
        files={
            "wordsim353": ("word_eval/EN-WS-353-ALL.txt",),
            "simlex999": ("word_eval/EN-SIMLEX-999.txt",),
            "analogies": ("word_eval/questions-words.txt",),
        },
        note="there is no automatic download",
    )


def read_sentences(corpus: str, path: str | None, valid_share: float) -> tuple[Sentences, Sentences, str]:
    """Return training sentences, validation sentences and the name of the source in messages.

    A corpus with the roles ``train`` and ``valid`` keeps its split; of any other text the last ``valid_share`` of the
    sentences validates. ``ptb`` and ``wikitext2`` are split at blanks and line ends; other texts are converted to lower
    case, split after ``. ! ? : ;`` and at blank lines, and reduced to words of letters and digits.

    Raises:
        DataError: a file is missing or empty, or the text has fewer than two sentences.
    """
    if path is None and corpus not in ("embedded",):
        found = find_corpus(corpus)
        if "train" in found.files and _is_here(found, "train"):
            parts = [_lines(read_text(found.path(part), empty="the text is empty")) for part in ("train", "valid")]
            return parts[0], parts[1], f"corpus '{corpus}'"
        role = next((role for role in ("text", "valid", "train") if role in found.files), None)
        if role is None:
            raise DataError(f"corpus '{corpus}' is not a text", hint="for example: embedded, ptb, wikitext2, nietzsche")
        text = read_text(found.path(role), empty="the text is empty")
        sentences = _words(text) if role == "text" else _lines(text)
        return *_split(sentences, valid_share, f"corpus '{corpus}'"), f"corpus '{corpus}'"
    name = f"{path}" if path is not None else "corpus 'embedded'"
    text = _embedded() if path is None else read_text(Path(path), empty="the text is empty")
    return *_split(_words(text), valid_share, name), name


def _is_here(corpus: Corpus, role: str) -> bool:
    try:
        return corpus.path(role).is_file()
    except DataError:
        return False


def _lines(text: str) -> Sentences:
    return [line.split() for line in text.split("\n") if line.strip()]


def _words(text: str) -> Sentences:
    found = (_WORD.findall(sentence.lower()) for sentence in _SENTENCE_END.split(text))
    return [words for words in found if words]


def _split(sentences: Sentences, valid_share: float, name: str) -> tuple[Sentences, Sentences]:
    if len(sentences) < 2:
        raise DataError("the text has fewer than two sentences", where=name, hint="use a text of some thousand words")
    cut = min(max(1, round(len(sentences) * (1 - valid_share))), len(sentences) - 1)
    return sentences[:cut], sentences[cut:]


@cache
def _embedded() -> str:
    """Return the help topics that come with every CPython, as one text."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))
