"""Example data for the conformance kit: a few sentences as pairs, paths and counts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lab import use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_words.counts import word_counts
from lab_words.data import Drawn, PairBatch, Pairs, WordData, as_it_is, word_pairs
from lab_words.losses import glove_loss, negative_sampling, path_nll
from lab_words.models import WordVectorModel
from lab_words.replaced import WindowBatch, WindowClassifier, Windows, replaced_middle

__all__ = ["FewCounts", "FewPairs", "FewPaths", "FewWindows", "support"]


@cache
def _few(objective: Any) -> WordData:
    data = word_pairs(min_freq=300, subsample=None, window=2, objective=objective)
    return _shortened(data)


def _shortened(data: WordData) -> WordData:
    """Return the first pairs of each split."""
    splits = []
    for split, size in ((data.train, 24), (data.valid, 8)):
        if isinstance(split, Pairs):
            negatives = None if split.negatives is None else split.negatives[:size]
            splits.append(Pairs(Drawn(split.words[:size], split.outputs[:size], negatives), split.paths))
        else:
            arrays = (split.words[:size].numpy(), split.contexts[:size].numpy(), split.counts[:size].numpy())
            splits.append(type(split)(*(np.ascontiguousarray(each) for each in arrays)))
    return WordData(
        *splits,
        collate=as_it_is,
        fingerprint=data.fingerprint,
        vocab=data.vocab,
        vocab_size=data.vocab_size,
        objective=data.objective,
        sentence_count=data.sentence_count,
    )


class FewPairs(Example):
    """Pairs with negatives: words (B, 1), candidates and target (B, 6)."""

    has_flat_targets = False

    def make_data(self) -> WordData:
        return _few("negatives")

    def model(self) -> nn.Module:
        return WordVectorModel(self.facts["vocab_size"], self.facts["vocab"], self.facts["objective"], embedding_dim=4)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return negative_sampling(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(batch.target.shape, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 40.0 * (batch.target - 0.5)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return PairBatch(batch.words[:, 0], batch.candidates, batch.target)


class FewPaths(FewPairs):
    """Paths in a Huffman tree: words (B, 1), nodes and branches (B, D), filled up with -1."""

    def make_data(self) -> WordData:
        return _few("tree")

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return path_nll(output, target)


class FewWindows(FewPairs):
    """Windows with a label: words (B, 5), target (B,)."""

    def make_data(self) -> WordData:
        data = replaced_middle(min_freq=300, width=5)
        splits = [Windows(s.words[:n], s.target[:n]) for s, n in ((data.train, 24), (data.valid, 8))]
        return WordData(
            *splits, collate=as_it_is, fingerprint=data.fingerprint, vocab=data.vocab, vocab_size=data.vocab_size
        )

    def model(self) -> nn.Module:
        return WindowClassifier(self.facts["vocab_size"], embedding_dim=4, hidden_size=4)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return WindowBatch(batch.words[:, 0], batch.target)


class FewCounts(FewPairs):
    """Counts of pairs: words (B, 1), contexts and counts (B,)."""

    def make_data(self) -> WordData:
        return _shortened(word_counts(min_freq=300, window=2))

    def model(self) -> nn.Module:
        return WordVectorModel(
            self.facts["vocab_size"], self.facts["vocab"], self.facts["objective"], embedding_dim=4, bias=True
        )

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return glove_loss(output, target)

    def perfect_output(self, batch: Any) -> Tensor:
        return batch.target.log()


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    exceptions = {"test_splits_are_disjoint": "a pair of words occurs more than once"}
    few = {"min_freq": 300, "window": 2}
    return ConformanceSupport(
        examples={"few_pairs": FewPairs, "few_paths": FewPaths, "few_counts": FewCounts, "few_windows": FewWindows},
        cases={
            "architectures.glove": ComponentCase(use("glove", embedding_dim=4), examples=("few_counts",)),
            "architectures.subword_vectors": ComponentCase(
                use("subword_vectors", embedding_dim=4, buckets=50), examples=("few_pairs",)
            ),
            "architectures.word_vectors": ComponentCase(use("word_vectors", embedding_dim=4), examples=("few_pairs",)),
            "architectures.window_classifier": ComponentCase(
                use("window_classifier", embedding_dim=4, hidden_size=4), examples=("few_windows",)
            ),
            "datasets.replaced_middle": ComponentCase(
                use("replaced_middle", min_freq=300, width=5), exceptions=exceptions
            ),
            "callbacks.word_scores": ComponentCase(use("word_scores"), examples=("few_pairs",)),
            "datasets.word_counts": ComponentCase(use("word_counts", **few)),
            "datasets.word_pairs": ComponentCase(use("word_pairs", **few), exceptions=exceptions),
            "losses.glove_loss": ComponentCase(use("glove_loss"), examples=("few_counts",)),
            "losses.negative_sampling": ComponentCase(use("negative_sampling"), examples=("few_pairs",)),
            "losses.word_nll": ComponentCase(use("word_nll"), examples=("few_paths",)),
            "losses.path_nll": ComponentCase(use("path_nll"), examples=("few_paths",)),
        },
    )
