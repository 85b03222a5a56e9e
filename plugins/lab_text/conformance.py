"""Support for the conformance kit: sentence pairs as example data, and the checks of this plugin's registries."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.errors import DataError, ParameterError
from lab.testing import (
    ComponentCase,
    Conformance,
    ConformanceSupport,
    Example,
    Finding,
    clear_error,
    no_global_randomness,
    same,
    skip,
)
from lab_text.batches import TranslationBatch
from lab_text.corpora import Corpus
from lab_text.indexes import Index
from lab_text.parallel import TranslationData, fr_en_questions
from lab_text.tokenizer import Tokenizer, TrainableTokenizer
from lab_text.vectors import VectorTable, WordVectors
from lab_text.vocabulary import EOS_ID, PAD_ID, Vocabulary

__all__ = [
    "CorpusConformance",
    "IndexConformance",
    "TokenizerConformance",
    "Translation",
    "VectorsConformance",
    "support",
]

WIDTH = 8
# As many pieces as the sentences below give.
SUBWORDS = {"bpe": 45, "unigram": 33, "wordpiece": 45}
SENTENCES = ("Où est la gare ?", "What's   the matter?", "L'été, c'est fini… non ?", "A", "tab\tand\nline")


class Translation(Example):
    """Two dozen French questions and their translations: output (T, B, V), target (T, B) ids, time first."""

    batch_dim = 1
    has_flat_targets = False
    kinds = ("architectures", "losses", "metrics", "steppers")

    def make_data(self) -> TranslationData:
        return fr_en_questions(pairs=32, tokenizer="whitespace", holdout=0.25)

    def model(self) -> nn.Module:
        return _WordByWord(self.facts["source_vocab_size"], self.facts["target_vocab_size"])

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output[: len(target)].flatten(0, 1), target.flatten(), ignore_index=PAD_ID)

    def forward(self, model: nn.Module, batch: TranslationBatch) -> Tensor:
        return model(batch.source, batch.target)

    def target(self, batch: TranslationBatch) -> Tensor:
        return batch.target

    def output(self, batch: TranslationBatch, generator: torch.Generator) -> Tensor:
        """Return logits of random words, with an end at the target's end."""
        words = torch.randn(*batch.target.shape, self.facts["target_vocab_size"], generator=generator)
        # Metrics that decode need an end; random logits would run on.
        words[(batch.target == PAD_ID) | (batch.target == EOS_ID)] = 0.0
        words[..., EOS_ID] += 20.0 * (words == 0.0).all(-1)
        return words

    def perfect_output(self, batch: TranslationBatch) -> Tensor:
        return 20.0 * functional.one_hot(batch.target, self.facts["target_vocab_size"]).float()

    def wrong_shape_batch(self, batch: TranslationBatch) -> TranslationBatch:
        """Return one source more than there are targets."""
        return batch._replace(source=torch.cat([batch.source, batch.source[:, :1]], 1))

    def with_extra_padding(self, batch: TranslationBatch) -> TranslationBatch:
        source, target = (functional.pad(ids, (0, 0, 0, 3), value=PAD_ID) for ids in (batch.source, batch.target))
        return batch._replace(source=source, target=target)

    def padding_mask(self, batch: TranslationBatch) -> Tensor:
        return batch.target == PAD_ID


class _WordByWord(nn.Module):
    """The smallest model that is called as translation models are: each target word from the mean source word.

    Shapes:
        source (S, B), target (T, B) -> (T, B, V); without a target, (at_least, B, V).
    """

    def __init__(self, source_vocab_size: int, target_vocab_size: int) -> None:
        super().__init__()
        self.source = nn.Embedding(source_vocab_size, WIDTH, padding_idx=PAD_ID)
        self.place = nn.Embedding(64, WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, target_vocab_size)

    def forward(self, source: Tensor, target: Tensor | None = None, forced: Any = None, *, at_least: int = 1) -> Tensor:
        steps = at_least if target is None else len(target)
        words = (source != PAD_ID).sum(0).unsqueeze(1)
        meaning = self.source(source).sum(0) / words
        places = self.place(torch.arange(steps, device=source.device)).unsqueeze(1)
        return self.output(torch.tanh(self.hidden(meaning + places)))


class TokenizerConformance(Conformance):
    """Checks of tokenizers: a subclass of ``lab_text.tokenizer.Tokenizer``."""

    kind = "tokenizers"

    def build(self, language: str = "fr") -> Tokenizer:
        """Return the tokenizer of a language."""
        tokenizer = self.resolved.build({}, language=language)
        if not isinstance(tokenizer, Tokenizer):
            raise Finding(f"{self.label} must be a Tokenizer, not a {type(tokenizer).__name__}")
        if not isinstance(tokenizer, TrainableTokenizer) or tokenizer.is_trained:
            return tokenizer
        folder = Path(_new_folder())
        tokenizer.train(SENTENCES, folder)
        return tokenizer.trained(folder)

    def test_gives_tokens_for_every_text_in_order(self) -> None:
        """One list per text, in order, the same as when the text comes alone."""
        tokenizer = self.build()
        together = list(tokenizer.pipe(SENTENCES))
        if together != [tokenizer(text) for text in SENTENCES]:
            raise Finding(f"{self.label}: pipe(texts) and one text at a time give different tokens")

    def test_no_token_is_empty_or_has_white_space_at_its_ends(self) -> None:
        """White space separates tokens and is none itself."""
        for text, tokens in zip(SENTENCES, self.build().pipe(SENTENCES), strict=True):
            wrong = [token for token in tokens if not token or token != token.strip()]
            if wrong or not tokens:
                raise Finding(
                    f"{self.label}: {text!r} gives {wrong[0]!r} as a token" if wrong else f"{text!r}: no token"
                )

    def test_an_empty_text_has_no_tokens(self) -> None:
        """Neither has one of white space."""
        for text in ("", "  "):
            if tokens := self.build()(text):
                raise Finding(f"{self.label}: {text!r} gives {tokens}")

    def test_letters_are_kept(self) -> None:
        """No letter of a text is lost in its tokens, nor on the way back; case and spaces may change."""
        tokenizer = self.build()
        for text in SENTENCES:
            tokens = tokenizer(text)
            for what, given in (("tokens", "".join(tokens)), ("detokenize", tokenizer.detokenize(tokens))):
                if _letters(given) != _letters(text):
                    raise Finding(f"{self.label}: {what} of {text!r} give {given!r}")

    def test_identity_is_json_and_steady(self) -> None:
        """``identity`` is plain JSON, the same for equal tokenizers, as it is part of cache keys."""
        first, second = self.build().identity, self.build().identity
        if json.loads(json.dumps(first)) != first or first != second or not first:
            raise Finding(f"{self.label}: identity must be the same plain JSON every time, not {first!r}")

    def test_same_text_gives_the_same_tokens(self) -> None:
        """Two tokenizers agree, and neither draws from a global random state."""
        first = list(self.build().pipe(SENTENCES))  # a library may draw when it is imported, as spaCy's does
        with no_global_randomness(self.label):
            second = list(self.build().pipe(SENTENCES))
        if first != second:
            raise Finding(f"{self.label}: two tokenizers give different tokens for the same texts")


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


class VectorsConformance(Conformance):
    """Checks of word vectors: a subclass of ``lab_text.vectors.WordVectors``; skipped if their file is missing."""

    kind = "vectors"
    words: Sequence[str] = ("où", "est", "la", "gare", "?")

    def table(self) -> VectorTable:
        """Return the table of a vocabulary of five words."""
        vectors = self.resolved.build({})
        if not isinstance(vectors, WordVectors):
            raise Finding(f"{self.label} must be a WordVectors, not a {type(vectors).__name__}")
        try:
            return vectors.table(self.vocabulary, lambda: [self.words] * 20)
        except (DataError, ParameterError) as error:
            skip(f"it cannot be tried here: {error.what}")

    @property
    def vocabulary(self) -> Vocabulary:
        """Special tokens and five words."""
        return Vocabulary(self.words)

    def test_gives_one_finite_row_per_word(self) -> None:
        """float32 (V, width)."""
        weights = self.table().weights
        if weights.dim() != 2 or len(weights) != len(self.vocabulary) or weights.dtype != torch.float32:
            raise Finding(f"{self.label}: weights must be float32 ({len(self.vocabulary)}, width), not {weights.shape}")
        if not bool(torch.isfinite(weights).all()):
            raise Finding(f"{self.label} gives values that are not finite")

    def test_the_row_of_padding_is_zero(self) -> None:
        """So that padding adds nothing."""
        if bool(self.table().weights[PAD_ID].any()):
            raise Finding(f"{self.label}: the row of _pad_ is not zero")

    def test_same_vocabulary_gives_the_same_vectors(self) -> None:
        """Asked twice it answers the same, and draws from no global random state."""
        self.table()
        with no_global_randomness(self.label):
            first, second = self.table(), self.table()
        if not same(first.weights, second.weights):
            raise Finding(f"{self.label}: two tables of the same vocabulary differ")


class CorpusConformance(Conformance):
    """Checks of corpora: functions that return a ``lab_text.corpora.Corpus``; nothing is downloaded."""

    kind = "corpora"

    def build(self) -> Corpus:
        """Return the corpus."""
        corpus = self.resolved.build({})
        if not isinstance(corpus, Corpus):
            raise Finding(f"{self.label} must give a Corpus, not a {type(corpus).__name__}")
        return corpus

    def test_is_called_as_it_is_registered(self) -> None:
        """One name for one corpus."""
        if self.build().name != self.resolved.alias:
            raise Finding(f"{self.label} calls itself '{self.build().name}'")

    def test_says_what_it_is_and_what_may_be_done_with_it(self) -> None:
        """Title, languages and license."""
        corpus = self.build()
        missing = [name for name in ("title", "languages", "license", "publisher") if not getattr(corpus, name)]
        if missing:
            raise Finding(f"{self.label} does not give its {' and '.join(missing)}")

    def test_every_download_gives_files_of_the_corpus(self) -> None:
        """Downloads use https and give the files that the corpus names."""
        corpus = self.build()
        wanted = {path for paths in corpus.files.values() for path in paths}
        for download in corpus.downloads:
            if not wanted & set(download.results) or not download.url.startswith("https://"):
                raise Finding(
                    f"{self.label}: {download.url} gives {download.results}, which are not files of the corpus"
                )


@cache
def _folder() -> Path:
    """Return a folder with a small parallel corpus and a file of vectors, gone when the process ends."""
    folder = Path(_new_folder())
    names = ["chat", "chien", "pain", "vin", "livre", "train", "jour", "mot", "nom", "lac", "mur", "sac", "roi", "loi"]
    (folder / "pairs.tsv").write_text(
        "".join(f"Où est le {n} ?\tWhere is the {n} ?\n" for n in names), encoding="utf-8"
    )
    (folder / "words.vec").write_text("où 1 0 0\nest 0 1 0\ngare 0.5 0.5 1\n", encoding="utf-8")
    return folder


def _new_folder() -> str:
    # Kept in a list for the life of the process: the checks of different components share the files.
    _HOLDERS.append(tempfile.TemporaryDirectory(prefix="lab-conformance-"))
    return _HOLDERS[-1].name


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


class IndexConformance(Conformance):
    """The checks of indexes: a subclass of ``lab_text.indexes.Index``."""

    kind = "indexes"

    def build(self) -> Index:
        """Return an index of 300 vectors of 8 numbers."""
        index = self.resolved.build({})
        if not isinstance(index, Index):
            raise Finding(f"{self.label} must be an Index, not a {type(index).__name__}")
        index.build(_cloud(300))
        return index

    def test_finds_a_vector_that_it_holds(self) -> None:
        """Itself first, at a cosine of 1, whatever the length of the query."""
        places, near = self.build().search(3 * _cloud(300)[:20], 5)
        if places[:, 0].tolist() != list(range(20)) or not np.allclose(near[:, 0], 1, atol=1e-4):
            raise Finding(f"{self.label} does not find its own vectors")

    def test_similarities_are_cosines_and_fall(self) -> None:
        """Of each query, the nearest first."""
        queries = _cloud(10, seed=1)
        places, near = self.build().search(queries, 6)
        rows = _cloud(300)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        if not np.allclose((rows[places] * queries[:, None]).sum(-1), near, atol=1e-4):
            raise Finding(f"{self.label} similarities are not cosines")
        if (np.diff(near, axis=1) > 1e-6).any():
            raise Finding(f"{self.label} does not sort by similarity")

    def test_one_query_is_answered_as_among_many(self) -> None:
        """Alone and in a batch."""
        index = self.build()
        many, alone = index.search(_cloud(5, seed=1), 3)[0], index.search(_cloud(5, seed=1)[:1], 3)[0]
        if many[0].tolist() != alone[0].tolist():
            raise Finding(f"{self.label} answers a query differently in a batch")

    def test_is_saved_and_loaded(self) -> None:
        """With the same answers."""
        index, again = self.build(), self.resolved.build({})
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder))
            again.load(Path(folder))
            if index.search(_cloud(9, seed=1), 4)[0].tolist() != again.search(_cloud(9, seed=1), 4)[0].tolist():
                raise Finding(f"{self.label} answers differently after saving and loading")

    def test_queries_of_another_width_are_refused(self) -> None:
        """And more neighbors than there are vectors."""
        index = self.build()
        clear_error(lambda: index.search(np.ones((1, 9), np.float32), 3), f"{self.label}: a query of 9 numbers")
        clear_error(lambda: index.search(np.ones((1, 8), np.float32), 301), f"{self.label}: 301 of 300 vectors")


def _cloud(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def support() -> ConformanceSupport:
    """Return example data, the checks of this plugin's registries, and small files for components that read files."""
    folder = _folder()
    small = {"tokenizer": "whitespace"}
    return ConformanceSupport(
        examples={"translation": Translation},
        kinds={
            "corpora": CorpusConformance,
            "indexes": IndexConformance,
            "tokenizers": TokenizerConformance,
            "vectors": VectorsConformance,
        },
        cases={
            "datasets.book_pairs": ComponentCase(
                use("book_pairs", corpus="embedded", pairs=64, **small),
                exceptions={"test_splits_are_disjoint": "the book validates on the pairs of training"},
            ),
            "datasets.fr_en_questions": ComponentCase(use("fr_en_questions", pairs=64, **small)),
            "datasets.multi30k": ComponentCase(use("multi30k", pairs=64, **small)),
            "datasets.parallel_text": ComponentCase(
                use("parallel_text", source=str(folder / "pairs.tsv"), holdout=0.3, **small)
            ),
            **{f"tokenizers.{name}": ComponentCase(use(name, vocab_size=size)) for name, size in SUBWORDS.items()},
            "vectors.text_vectors": ComponentCase(use("text_vectors", path=str(folder / "words.vec"))),
            "vectors.random": ComponentCase(use("random", width=8)),
            "vectors.fasttext_trained": ComponentCase(use("fasttext_trained", width=8, buckets=100)),
        },
    )
