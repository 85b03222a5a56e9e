"""BERT: bidirectional encoder, losses of masked tokens and of the next sentence, and dynamic masking.

Devlin et al. 2019, arXiv:1810.04805; *Dive into Deep Learning*, 15.8 to 15.10.
"""

from __future__ import annotations

from typing import Any

import torch
from lab_attention.blocks import BlockOptions, EncoderBlock
from lab_attention.dropout import Dropout
from lab_attention.positions import LearnedPositions
from lab_basics.metrics import Mean
from lab_basics.steppers import Supervised
from torch import Tensor, nn
from torch.nn import functional

from lab import part
from lab.errors import LabError, ParameterError, ShapeError
from lab.training.means import mean_over
from lab_lm.masking import IGNORED, mask_tokens, unmasked
from lab_lm.pairs import MaskedPairsData, PairBatch

__all__ = ["BERT", "MaskedAccuracy", "MaskedLoss", "NextSentenceAccuracy", "NextSentenceLoss", "Remasked", "bert_loss"]


class BERT(nn.Module):
    """Encoder of pairs of sentences with learned positions and segments, and two heads.

    The masked tokens are predicted by a linear layer, an activation, a norm and the output; whether the second
    sentence follows by a tanh layer on ``<cls>`` and a linear layer. As in the book, embeddings have no norm. The
    preset ``bert_book`` has the book's size.

    Args:
        vocab_size: tokens V.
        pad_id: of padding.
        max_length: longest pair, in tokens.
        layers: number of blocks.
        width: width E of the model.
        heads: number of attention heads, which divides the width.
        feed_forward: width of the feed-forward networks.
        dropout: probability inside the blocks.
        activation: ``gelu`` or ``relu``.
        norm_first: put norms before the parts of a block, which is more stable, not behind, as in the paper.
        tied: use the weights of the embedding in the output.

    Shapes:
        tokens (B, T), segments (B, T), positions (B, K), all long → (B, 1 + K, V): in row 0 the two logits of the next
        sentence, the rest of which is 0; then the logits of the tokens at ``positions``.

    Raises:
        ParameterError: a parameter is out of range.
    """

    def __init__(
        self,
        vocab_size: int,
        pad_id: int,
        max_length: int,
        *,
        layers: int = 2,
        width: int = 128,
        heads: int = 2,
        feed_forward: int = 256,
        dropout: float = 0.1,
        activation: str = "gelu",
        norm_first: bool = True,
        tied: bool = True,
    ) -> None:
        super().__init__()
        if min(layers, width, heads, feed_forward) < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                f"layers={layers}, width={width}, heads={heads}, feed_forward={feed_forward}, dropout={dropout}",
                where="architecture 'bert'",
                hint="numbers are at least 1, dropout lies in [0, 1)",
            )
        self.pad_id = pad_id
        options = BlockOptions(
            width,
            heads,
            feed_forward,
            dropout,
            0.0,
            norm_first=norm_first,
            activation=activation,  # type: ignore[arg-type]
        )
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, width)
            nn.init.normal_(self.embedding.weight, std=0.02)
        with part("segments"):
            self.segments = nn.Embedding(2, width)
            nn.init.normal_(self.segments.weight, std=0.02)
        with part("positions"):
            self.positions = LearnedPositions(width, heads, longest=max_length)
        self.dropout = Dropout(dropout)
        with part("blocks"):
            self.blocks = nn.ModuleList(EncoderBlock(options) for _ in range(layers))
        self.norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        with part("head"):
            self.head = nn.Sequential(
                nn.Linear(width, width), nn.GELU() if activation == "gelu" else nn.ReLU(), nn.LayerNorm(width)
            )
            self.output = nn.Linear(width, vocab_size)
            nn.init.normal_(self.output.weight, std=0.02)
            nn.init.zeros_(self.output.bias)
        if tied:
            self.output.weight = self.embedding.weight
        with part("next"):
            self.next = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2))

    def forward(self, tokens: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        """Return the logits of the next sentence and of the tokens at ``positions``."""
        if tokens.dim() != 2 or tokens.shape != segments.shape or tokens.is_floating_point():
            raise ShapeError(
                f"tokens and segments must be integers (B, T), got {tuple(tokens.shape)} and {tuple(segments.shape)}"
            )
        states = self.states(self.embedding(tokens) + self.segments(segments), tokens != self.pad_id)
        rows = torch.arange(len(tokens), device=tokens.device).unsqueeze(1)
        masked = self.output(self.head(states[rows, positions]))
        following = functional.pad(self.next(states[:, 0]), (0, masked.shape[2] - 2))
        return torch.cat([following.unsqueeze(1), masked], 1)

    def states(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states (B, T, E) of embeddings (B, T, E); mask (B, T) bool, True = a token."""
        x = self.dropout(self.positions.add(x))
        for block in self.blocks:
            x = block(x, mask[:, None, None, :], self.positions)
        states: Tensor = self.norm(x)
        return states

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return embeddings, each block, and the heads, for rates and freezing by group."""
        embeddings = [self.embedding, self.segments, self.positions]
        return [embeddings, *([block] for block in self.blocks), [self.norm, self.head, self.output, self.next]]


def _parts(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the logits of the next sentence (B, 2), their target (B,), those of tokens (N, V), and theirs (N,)."""
    if output.dim() != 3 or output.shape[:2] != target.shape or target.is_floating_point():
        raise ShapeError(
            f"the output must be (B, 1 + K, V) and the target (B, 1 + K), "
            f"got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    return output[:, 0, :2], target[:, 0], output[:, 1:].flatten(0, 1), target[:, 1:].flatten()


@mean_over(lambda output, target: len(target))
def bert_loss(output: Tensor, target: Tensor) -> Tensor:
    """Sum of two means: of the masked tokens' cross-entropy, and of the next sentence's, in nats.

    Args:
        output: (B, 1 + K, V), as of ``bert``.
        target: (B, 1 + K) long, as of ``masked_pairs``.
    """
    following, follows, masked, labels = _parts(output, target)
    return functional.cross_entropy(masked, labels, ignore_index=IGNORED) + functional.cross_entropy(following, follows)


class MaskedLoss(Mean):
    """Mean cross-entropy of the masked tokens, in nats."""

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        _, _, masked, labels = _parts(output, target)
        total = functional.cross_entropy(masked, labels, ignore_index=IGNORED, reduction="sum")
        return total, (labels != IGNORED).sum()


class MaskedAccuracy(Mean):
    """Fraction of the masked tokens whose most likely token is correct."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        _, _, masked, labels = _parts(output, target)
        return (masked.argmax(1) == labels).sum(), (labels != IGNORED).sum()


class NextSentenceLoss(Mean):
    """Mean cross-entropy of whether the second sentence follows the first, in nats."""

    higher_is_better = False

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        following, follows, _, _ = _parts(output, target)
        return functional.cross_entropy(following, follows, reduction="sum"), len(follows)


class NextSentenceAccuracy(Mean):
    """Fraction of the pairs for which it is right whether the second sentence follows the first."""

    def batch_sum(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        following, follows, _, _ = _parts(output, target)
        return (following.argmax(1) == follows).sum(), len(follows)


class Remasked(Supervised):
    """Supervised step on new masks: dynamic masking (Liu et al. 2019, RoBERTa, arXiv:1907.11692, section 4.1).

    Parameters are those of ``supervised``. Masks are drawn from the stream ``stepper``.

    Raises:
        LabError: the data are not ``masked_pairs``.
    """

    def train_loss(self, batch: Any) -> Tensor:
        data: Any = self.learner.data
        if not isinstance(data, MaskedPairsData):
            raise LabError(
                "new masks are drawn of masked pairs", where=type(data).__name__, hint="dataset='masked_pairs'"
            )
        masked, segments, positions, target = batch
        tokens = unmasked(masked, positions, target[:, 1:])
        generator = self.learner.streams.generator("stepper")
        noise = torch.rand(*tokens.shape, 2, generator=generator, dtype=torch.float64).to(tokens.device)
        masked, positions, labels = mask_tokens(tokens, noise, data.masking)
        return super().train_loss(PairBatch(masked, segments, positions, torch.cat([target[:, :1], labels], 1)))
