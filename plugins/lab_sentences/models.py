"""Classifier of texts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.errors import ParameterError, ShapeError
from lab.training.rng import part
from lab_sentences.encoders import BagOfWords, TextEncoder
from lab_sentences.poolings import MeanPooling, Pooling

__all__ = ["TextClassifier"]


class TextClassifier(nn.Module):
    """Embedding, encoder, pooling, and a linear layer.

    Args:
        vocab_size: words V.
        output_size: classes C.
        pad_id: of padding; other words of a text stand before it.
        word_vectors: (V, D) to start from, or None.
        encoder: factory, called with ``input_size``.
        pooling: factory, called with ``input_size``.
        embedding_dim: width of the embedding; that of ``word_vectors`` if there are some.
        dropout: probability, on the embedding and on the pooled vector.

    Shapes:
        tokens (B, T) long → logits (B, C)
    """

    def __init__(
        self,
        vocab_size: int,
        output_size: int,
        pad_id: int,
        word_vectors: Tensor | None,
        *,
        encoder: Callable[..., TextEncoder] = BagOfWords,
        pooling: Callable[..., Pooling] = MeanPooling,
        embedding_dim: int = 100,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if embedding_dim < 1 or not 0 <= dropout < 1:
            raise ParameterError(
                f"embedding_dim={embedding_dim}, dropout={dropout}",
                where="architecture 'text_classifier'",
                hint="embedding_dim is at least 1, dropout in [0, 1)",
            )
        self.pad_id = pad_id
        width = embedding_dim if word_vectors is None else word_vectors.shape[1]
        with part("embedding"):
            self.embedding = nn.Embedding(vocab_size, width, padding_idx=pad_id)
            if word_vectors is not None:
                self.embedding.weight.data.copy_(word_vectors)
        with part("encoder"):
            self.encoder = encoder(input_size=width)
        with part("pooling"):
            self.pooling = pooling(input_size=self.encoder.output_size)
        self.dropout = nn.Dropout(dropout)
        with part("head"):
            self.head = nn.Linear(self.pooling.output_size, output_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the classes."""
        if tokens.dim() != 2 or tokens.is_floating_point():
            raise ShapeError(f"tokens must be (B, T) integers, got {tuple(tokens.shape)} {tokens.dtype}")
        mask = tokens != self.pad_id
        # a text of padding alone has one unknown word, so that poolings have something to pool
        mask = mask | (~mask.any(1, keepdim=True) & (torch.arange(tokens.shape[1], device=tokens.device) == 0))
        pooled = self.pooling(self.encoder(self.dropout(self.embedding(tokens)), mask), mask)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits
