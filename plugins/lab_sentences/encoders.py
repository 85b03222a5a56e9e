"""Encoders of texts: from the vectors of words to vectors of words in their context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from lab_attention.blocks import BlockOptions, EncoderBlock
from lab_attention.positions import Positions, positions_factory
from lab_text.encoders import TextEncoder
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lab.errors import ParameterError

__all__ = ["BagOfWords", "BiRNN", "TextCNN", "TransformerEncoder", "encoder_factory"]


class BagOfWords(TextEncoder):
    """The vectors of the words themselves, whatever their order.

    Args:
        input_size: width E.
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the input."""
        return x


class BiRNN(TextEncoder):
    """Bidirectional recurrent network.

    Args:
        input_size: width E.
        hidden_size: width of each direction.
        layers: number of layers.
        cell: ``lstm`` or ``gru``.
    """

    def __init__(
        self, input_size: int, *, hidden_size: int = 100, layers: int = 1, cell: Literal["lstm", "gru"] = "lstm"
    ) -> None:
        super().__init__()
        if hidden_size < 1 or layers < 1:
            raise ParameterError(f"hidden_size={hidden_size}, layers={layers}, each must be at least 1", where="birnn")
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.rnn = kind(input_size, hidden_size, layers, batch_first=True, bidirectional=True)
        self.output_size = 2 * hidden_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states of both directions at each word."""
        packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        states: Tensor = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return states


class TextCNN(TextEncoder):
    """Convolutions of several widths over words, with ReLU (Kim 2014, arXiv:1408.5882).

    Differs from the paper: texts are filled up with zeros, so that there is an output at every word and texts shorter
    than a kernel are no exception. With the pooling ``max`` this is the paper's network.

    Args:
        input_size: width E.
        kernels: words that each convolution sees.
        filters: number of filters of each.
    """

    def __init__(self, input_size: int, *, kernels: Sequence[int] = (3, 4, 5), filters: int = 100) -> None:
        super().__init__()
        if not kernels or min(kernels) < 1 or filters < 1:
            raise ParameterError(f"kernels={tuple(kernels)}, filters={filters}, each at least 1", where="text_cnn")
        self.convolutions = nn.ModuleList(nn.Conv1d(input_size, filters, kernel) for kernel in kernels)
        self.output_size = filters * len(kernels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs of all filters at each word."""
        x = (x * mask.unsqueeze(2)).transpose(1, 2)
        # not padding="same", which warns of even kernels
        sides = [((c.kernel_size[0] - 1) // 2, c.kernel_size[0] // 2) for c in self.convolutions]
        found = [c(functional.pad(x, side)) for c, side in zip(self.convolutions, sides, strict=True)]
        return torch.relu(torch.cat(found, 1)).transpose(1, 2)


class TransformerEncoder(TextEncoder):
    """Encoder of a Transformer (Vaswani et al. 2017), with a linear layer in front where the widths differ.

    Differs from the paper: norms come before the parts ("pre-norm", Xiong et al. 2020) and once at the end.

    Args:
        input_size: width E.
        hidden_size: width of the blocks; ``heads`` divides it.
        layers: number of blocks.
        heads: of attention.
        feed_forward: width of the feed-forward networks.
        dropout: probability inside the blocks.
        positions: scheme of positions.
    """

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 128,
        layers: int = 2,
        heads: int = 4,
        feed_forward: int = 256,
        dropout: float = 0.1,
        positions: str | Callable[..., Positions] = "sinusoidal",
    ) -> None:
        super().__init__()
        if min(hidden_size, layers, heads, feed_forward) < 1 or hidden_size % heads:
            raise ParameterError(
                f"hidden_size={hidden_size}, layers={layers}, heads={heads}, feed_forward={feed_forward}",
                where="transformer",
                hint="each is at least 1, and heads divides hidden_size",
            )
        options = BlockOptions(hidden_size, heads, feed_forward, dropout, dropout, norm_first=True)
        self.into = nn.Linear(input_size, hidden_size) if input_size != hidden_size else nn.Identity()
        self.positions = positions_factory(positions)(width=hidden_size, heads=heads)
        self.blocks = nn.ModuleList(EncoderBlock(options) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.output_size = hidden_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states of the last block at each word."""
        x = self.positions.add(self.into(x))
        for block in self.blocks:
            x = block(x, mask[:, None, None, :], self.positions)
        states: Tensor = self.norm(x)
        return states


_BUILT_IN = {"bag_of_words": BagOfWords, "birnn": BiRNN, "text_cnn": TextCNN, "transformer": TransformerEncoder}


def encoder_factory(encoder: str | Callable[..., TextEncoder]) -> Callable[..., TextEncoder]:
    """Return a factory of encoders, from the name of a built-in one or the factory itself."""
    if not isinstance(encoder, str):
        return encoder
    if encoder not in _BUILT_IN:
        raise ParameterError(f"unknown encoder {encoder!r}", hint=f"built in: {', '.join(_BUILT_IN)}")
    return _BUILT_IN[encoder]
