"""Example data for the conformance kit, and the checks of encoders and poolings."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import torch
from lab_text.encoders import TextEncoder
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.testing import ComponentCase, Conformance, ConformanceSupport, Example, Finding, same
from lab.training.rng import Streams
from lab_sentences.data import PairBatch, TextBatch, TextData, Texts, labelled_text
from lab_sentences.models import TextClassifier, TextSimilarity
from lab_sentences.poolings import Pooling

__all__ = ["EncoderConformance", "FewSimilarities", "FewTextPairs", "FewTexts", "PoolingConformance", "support"]

WIDTH = 6


@cache
def _few(corpus: str = "embedded") -> TextData:
    data = labelled_text(corpus, max_size=50)
    splits = [
        Texts(split.ids[:size], split.target[:size], split.pair_ids and split.pair_ids[:size])
        for split, size in ((data.train, 24), (data.valid, 8))
    ]
    return attrs.evolve(data, train=splits[0], valid=splits[1])


class FewTexts(Example):
    """Texts of two classes: tokens (B, T), target (B,)."""

    has_flat_targets = False

    def make_data(self) -> TextData:
        return _few()

    def model(self) -> nn.Module:
        names = ("vocab_size", "output_size", "pad_id", "word_vectors", "text_count")
        return TextClassifier(*(self.facts[name] for name in names), embedding_dim=4)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch.target), 2, generator=generator)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return TextBatch(batch.tokens[:, 0], batch.target)

    def perfect_output(self, batch: Any) -> Tensor:
        return 40.0 * functional.one_hot(batch.target, 2).float()


class FewTopics(FewTexts):
    """Texts with any of three classes each: tokens (B, T), target (B, 3), 0 or 1."""

    def make_data(self) -> TextData:
        data = _few()
        splits = [
            Texts(split.ids, torch.stack([split.target, 1 - split.target, split.target * 0 + 1], 1).float())
            for split in (data.train, data.valid)
        ]
        return attrs.evolve(data, train=splits[0], valid=splits[1], output_size=3, class_names=("a", "b", "c"))

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch.target), 3, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 40.0 * batch.target - 20.0


class FewTextPairs(FewTexts):
    """Pairs of texts of two classes: tokens (B, T), pair_tokens (B, S), target (B,)."""

    def make_data(self) -> TextData:
        return _few("embedded_pairs")

    def wrong_shape_batch(self, batch: Any) -> Any:
        return PairBatch(batch.tokens[:, 0], batch.pair_tokens, batch.target)


class FewSimilarities(FewTextPairs):
    """Pairs of texts with a number: tokens (B, T), pair_tokens (B, S), target (B,) from 0 to 5."""

    def make_data(self) -> TextData:
        data = _few("embedded_pairs")
        splits = [Texts(split.ids, 5.0 * split.target.float(), split.pair_ids) for split in (data.train, data.valid)]
        return attrs.evolve(
            data, train=splits[0], valid=splits[1], output_size=1, class_names=(), target_mean=2.5, target_range=(0, 5)
        )

    def model(self) -> nn.Module:
        names = ("vocab_size", "pad_id", "word_vectors", "text_count", "target_range")
        return TextSimilarity(*(self.facts[name] for name in names), embedding_dim=4)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.mse_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return 5 * torch.rand(len(batch.target), generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return batch.target.clone()


def _words() -> tuple[Tensor, Tensor]:
    """Return vectors (3, 5, 6) and the mask of texts of 5, 2 and 1 words."""
    x = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(5) < torch.tensor([[5], [2], [1]])


class EncoderConformance(Conformance):
    """Checks of encoders: a subclass of ``lab_text.encoders.TextEncoder``."""

    kind = "text_encoders"

    def build(self) -> TextEncoder:
        """Return an encoder of vectors of width 6."""
        with Streams(0).initializing():
            encoder = self.resolved.build({}, input_size=WIDTH)
        if not isinstance(encoder, TextEncoder):
            raise Finding(f"{self.label} must be a TextEncoder, not a {type(encoder).__name__}")
        return encoder.eval()

    def test_gives_one_vector_per_word(self) -> None:
        """As wide as it says."""
        encoder, (x, mask) = self.build(), _words()
        if encoder(x, mask).shape != (3, 5, encoder.output_size):
            raise Finding(f"{self.label} gives {tuple(encoder(x, mask).shape)}, not (3, 5, {encoder.output_size})")

    def test_padding_changes_no_word(self) -> None:
        """A text alone and beside a longer one."""
        encoder, (x, mask) = self.build(), _words()
        if not same(encoder(x, mask)[1, :2], encoder(x[1:2, :2], mask[1:2, :2])[0], 1e-5):
            raise Finding(f"{self.label}: padding changes the vectors of words")


class PoolingConformance(Conformance):
    """Checks of poolings: a subclass of ``lab_sentences.poolings.Pooling``."""

    kind = "poolings"

    def build(self) -> Pooling:
        """Return a pooling of vectors of width 6."""
        with Streams(0).initializing():
            pooling = self.resolved.build({}, input_size=WIDTH)
        if not isinstance(pooling, Pooling):
            raise Finding(f"{self.label} must be a Pooling, not a {type(pooling).__name__}")
        return pooling.eval()

    def test_padding_is_left_out(self) -> None:
        """Whatever stands there, and at the width it says."""
        pooling, (x, mask) = self.build(), _words()
        pooled = pooling(x, mask)
        if pooled.shape != (3, pooling.output_size) or not torch.isfinite(pooled).all():
            raise Finding(f"{self.label} gives {tuple(pooled.shape)}, or values that are not finite")
        if not same(pooled, pooling(x.masked_fill(~mask.unsqueeze(2), 99.0), mask), 1e-5):
            raise Finding(f"{self.label}: padding changes the result")


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    texts, pairs = ("few_texts",), ("text_pairs",)
    overlap = {"test_splits_are_disjoint": "the published parts share texts, which a warning counts"}
    return ConformanceSupport(
        examples={
            "few_topics": FewTopics,
            "text_pairs": FewTextPairs,
            "text_similarities": FewSimilarities,
            "few_texts": FewTexts,
        },
        kinds={"poolings": PoolingConformance, "text_encoders": EncoderConformance},
        cases={
            "architectures.decomposable_attention": ComponentCase(
                use("decomposable_attention", embedding_dim=4, hidden_size=4), examples=pairs
            ),
            **{
                f"architectures.{name}": ComponentCase(
                    examples=(*texts, *pairs),
                    exceptions={"test_gradients_reach_every_trainable_parameter": "it fits itself, without gradients"},
                )
                for name in ("nb_svm", "ngram_model", "tfidf_logistic")
            },
            "architectures.text_classifier": ComponentCase(
                use("text_classifier", embedding_dim=4), examples=(*texts, *pairs)
            ),
            "architectures.text_similarity": ComponentCase(
                use("text_similarity", embedding_dim=4), examples=("text_similarities",)
            ),
            "callbacks.look_at_texts": ComponentCase(use("look_at_texts", count=2), examples=texts),
            "datasets.labelled_text": ComponentCase(use("labelled_text")),
            "metrics.multilabel_accuracy": ComponentCase(examples=("few_topics",)),
            "metrics.multilabel_f1": ComponentCase(examples=("few_topics",)),
            **{f"datasets.{name}": ComponentCase(exceptions=overlap) for name in ("movie_reviews", "rte", "sst2")},
        },
    )
