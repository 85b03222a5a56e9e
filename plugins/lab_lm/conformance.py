"""Example data for the conformance kit: a short text."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import torch
from lab_text.losses import sequence_nll
from lab_text.windows import WindowBatch
from torch import Tensor, nn
from torch.nn import functional

from lab import Experiment, use
from lab.cache import cache_folder
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_lm.bert import BERT, bert_loss
from lab_lm.data import RunningText, text
from lab_lm.gpt import GPT
from lab_lm.pairs import MaskedPairs, MaskedPairsData, PairBatch, masked_pairs

__all__ = ["FewPairs", "FewWords", "support"]

OPTIONS: dict[str, Any] = {"max_lines": 60, "bptt": 4}


@cache
def _few() -> RunningText:
    return text(**OPTIONS)


class FewWords(Example):
    """The start of the embedded text: tokens (T, B), logits (T, B, V), target (T, B)."""

    batch_dim = 1
    has_flat_targets = False

    def make_data(self) -> RunningText:
        return _few()

    def model(self) -> nn.Module:
        return GPT(self.facts["vocab_size"], width=8, heads=2, layers=1, dropout=0.0)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return sequence_nll(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(*batch.target.shape, self.facts["vocab_size"], generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 20.0 * functional.one_hot(batch.target, self.facts["vocab_size"]).float()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return WindowBatch(batch.tokens.unsqueeze(-1).float(), batch.continues, batch.target)

    def experiment(self) -> Experiment:
        return Experiment(
            dataset=use("text", **OPTIONS),
            architecture=use("rnn_lm", hidden_size=8, layers=1),
            loss="sequence_nll",
            sampler="streams",
            valid_sampler="streams",
            stepper="next_token",
            batch_size=8,
        )


class FewPairs(Example):
    """Pairs of sentences of the embedded text: tokens (B, T), segments, positions (B, K), target (B, 1 + K)."""

    has_flat_targets = False

    def make_data(self) -> MaskedPairsData:
        return _few_pairs()

    def model(self) -> nn.Module:
        names = ("vocab_size", "pad_id", "max_length")
        return BERT(*(self.facts[name] for name in names), width=8, layers=1, feed_forward=8, dropout=0.0)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return bert_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(*batch.target.shape, self.facts["vocab_size"], generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 40.0 * functional.one_hot(batch.target.clamp(min=0), self.facts["vocab_size"]).float()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return PairBatch(batch.tokens[:, 0], batch.segments, batch.positions, batch.target)


@cache
def _few_pairs() -> MaskedPairsData:
    data = masked_pairs(max_size=60, max_length=24)
    splits = [
        MaskedPairs(split.ids[:size], split.firsts[:size], split.follows[:size].tolist(), split.masking, 0)
        for split, size in ((data.train, 24), (data.valid, 8))
    ]
    return attrs.evolve(data, train=splits[0], valid=splits[1])


def _pretraining() -> Experiment:
    """Return a small language model for ``start_from``, of the architecture of ``FewWords.model``."""
    return Experiment(
        dataset=use("text", **OPTIONS),
        architecture=use("gpt", width=8, heads=2, layers=1, dropout=0.0),
        loss="sequence_nll",
        stepper="next_token",
        batch_size=64,
        epochs=1,
    )


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    texts, pairs = ("few_words",), ("masked_sentences",)
    windows = {"test_splits_are_disjoint": "windows of a few tokens occur more than once"}
    small = {"layers": 1, "feed_forward": 8}
    return ConformanceSupport(
        examples={"masked_sentences": FewPairs, "few_words": FewWords},
        cases={
            "architectures.awd_lstm": ComponentCase(
                use("awd_lstm", embedding_dim=6, hidden_size=8, layers=2), examples=texts
            ),
            "architectures.awd_lstm_small": ComponentCase(
                use("awd_lstm_small", embedding_dim=6, hidden_size=8), examples=texts
            ),
            "architectures.bert": ComponentCase(use("bert", width=8, **small), examples=pairs),
            "architectures.bert_book": ComponentCase(use("bert_book", width=8, **small), examples=pairs),
            "architectures.gpt": ComponentCase(use("gpt", width=8, heads=2, **small), examples=texts),
            "architectures.ngram_lm": ComponentCase(
                use("ngram_lm", order=3),
                examples=texts,
                exceptions={
                    "test_gradients_reach_every_trainable_parameter": "it counts, without gradients",
                },
            ),
            "architectures.rnn_lm": ComponentCase(use("rnn_lm", hidden_size=8), examples=texts),
            "callbacks.nt_asgd": ComponentCase(use("nt_asgd", patience=1), examples=texts),
            "callbacks.start_from": ComponentCase(
                use("start_from", pretraining=_pretraining, runs=str(cache_folder() / "conformance-runs")),
                examples=texts,
                exceptions={"test_leaves_the_process_alone": "it trains a run, before which lab configures torch"},
            ),
            "datasets.masked_pairs": ComponentCase(
                use("masked_pairs"), exceptions={"test_splits_are_disjoint": "sentences of the manual recur"}
            ),
            "datasets.text": ComponentCase(use("text"), exceptions=windows),
            "losses.bert_loss": ComponentCase(examples=pairs),
            "losses.projected_nll": ComponentCase(examples=texts),
            **{
                f"metrics.{name}": ComponentCase(examples=pairs)
                for name in ("masked_accuracy", "masked_loss", "next_sentence_accuracy", "next_sentence_loss")
            },
            **{
                f"metrics.{name}": ComponentCase(examples=texts)
                for name in ("next_token_accuracy", "next_token_perplexity", "perplexity_per_word")
            },
            "text_encoders.awd_lstm": ComponentCase(use("awd_lstm", hidden_size=8, layers=2)),
            "text_encoders.bert": ComponentCase(use("bert", heads=2, layers=1, feed_forward=8)),
            "text_encoders.gpt": ComponentCase(use("gpt", heads=1, layers=1)),
            "text_encoders.rnn_lm": ComponentCase(use("rnn_lm", hidden_size=8)),
            "steppers.next_token": ComponentCase(examples=texts),
            "steppers.regularized_next_token": ComponentCase(
                use("regularized_next_token", dropped="norm", outputs="blocks.0"), examples=texts
            ),
            "steppers.remasked": ComponentCase(examples=pairs),
        },
    )
