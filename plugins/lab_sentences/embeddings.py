"""Embeddings of words: learned, frozen vectors, or both beside each other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lab.errors import ParameterError

__all__ = ["Embeddings", "WordEmbedding"]

Embeddings = Literal["trained", "frozen", "both"]

_SPREAD = 0.25


class WordEmbedding(nn.Module):
    """Vectors of words.

    Without word vectors to start from, they are drawn uniformly from ±0.25 (Kim 2014, section 3.2): updates of an
    optimizer are small beside numbers around 1, where what words mean would stay noise, above all of rare ones.

    Args:
        vocab_size: words V.
        pad_id: of padding, whose vector is zero.
        word_vectors: (V, D) to start from, or None.
        embedding_dim: width without word vectors.
        kind: ``trained``, ``frozen``, or ``both`` side by side, the two channels of Kim 2014.

    Attributes:
        output_size: width of the vectors.

    Shapes:
        tokens (B, T) long → (B, T, output_size)

    Raises:
        ParameterError: vectors are to be frozen and there are none.
    """

    def __init__(
        self,
        vocab_size: int,
        pad_id: int,
        word_vectors: Tensor | None,
        embedding_dim: int = 100,
        kind: Embeddings = "trained",
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ParameterError(f"embedding_dim={embedding_dim}, at least 1")
        if kind != "trained" and word_vectors is None:
            raise ParameterError(
                f"embeddings='{kind}' without word vectors",
                hint="give the dataset vectors=..., or use embeddings='trained'",
            )
        width = embedding_dim if word_vectors is None else word_vectors.shape[1]
        self.trained = nn.Embedding(vocab_size, width, padding_idx=pad_id) if kind != "frozen" else None
        self.frozen = nn.Embedding(vocab_size, width, padding_idx=pad_id) if kind != "trained" else None
        for embedding in (self.trained, self.frozen):
            if embedding is not None and word_vectors is not None:
                embedding.weight.data.copy_(word_vectors)
            elif embedding is not None:
                nn.init.uniform_(embedding.weight, -_SPREAD, _SPREAD)
                embedding.weight.data[pad_id] = 0.0
        if self.frozen is not None:
            self.frozen.weight.requires_grad_(False)
        self.output_size = 2 * width if kind == "both" else width

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the vectors of words."""
        found = [each(tokens) for each in (self.trained, self.frozen) if each is not None]
        return found[0] if len(found) == 1 else torch.cat(found, -1)
