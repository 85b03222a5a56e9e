"""Transformer for translation, with torch's own layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lab import part

__all__ = ["Translator"]


class Translator(nn.Module):
    """Transformer, post-norm, with learned positions. Vaswani et al. 2017, arXiv:1706.03762.

    Args:
        source_vocab_size: number of source words.
        target_vocab_size: number of target words.
        pad_id: id of padding.
        width: size of embeddings and layers, a multiple of ``heads``.
        heads: number of attention heads.
        layers: number of layers of the encoder, and of the decoder.
        max_positions: maximum number of tokens of a sentence.

    Shapes:
        source (S, B) ids, prefix (T, B) ids -> (T, B, target_vocab_size)
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        pad_id: int,
        *,
        width: int = 32,
        heads: int = 4,
        layers: int = 1,
        max_positions: int = 256,
    ) -> None:
        super().__init__()
        self.pad_id = pad_id
        with part("source_embedding"):
            self.source = nn.Embedding(source_vocab_size, width)
        with part("target_embedding"):
            self.target = nn.Embedding(target_vocab_size, width)
        with part("positions"):
            self.positions = nn.Embedding(max_positions, width)
        with part("encoder"):
            layer = nn.TransformerEncoderLayer(width, heads, 2 * width)
            self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        with part("decoder"):
            self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(width, heads, 2 * width), layers)
        with part("output"):
            self.output = nn.Linear(width, target_vocab_size)

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor:
        """Return the logits of the token after each one of the prefix."""
        padding = (source == self.pad_id).T
        later = torch.ones(len(prefix), len(prefix), dtype=torch.bool, device=prefix.device).triu(1)
        memory = self.encoder(self._placed(self.source(source)), src_key_padding_mask=padding)
        words = self._placed(self.target(prefix))
        return self.output(self.decoder(words, memory, tgt_mask=later, memory_key_padding_mask=padding))

    def _placed(self, embedded: Tensor) -> Tensor:
        return embedded + self.positions.weight[: len(embedded)].unsqueeze(1)
