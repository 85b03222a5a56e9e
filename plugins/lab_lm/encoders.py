"""Encoders of texts with the layers of language models, which the callback ``start_from`` fills with trained weights.

They are components of the registry ``text_encoders``. Their layers have the names that they have in a language model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab_attention.blocks import BlockOptions, CausalBlock, EncoderBlock, make_norm
from lab_attention.dropout import Dropout
from lab_attention.positions import LearnedPositions, Positions, positions_factory
from lab_text.encoders import TextEncoder
from torch import Tensor, nn

from lab.errors import ParameterError
from lab_lm.awd import LockedDropout, StackedLSTM
from lab_lm.models import CELLS, Cell

__all__ = ["AwdEncoder", "BertEncoder", "GPTEncoder", "LanguageEncoder", "RnnEncoder"]


class LanguageEncoder(TextEncoder):
    """Base class: every weight has the name that it has in the language model."""

    def layer_groups(self) -> list[Any]:
        """Return the layers, first ones first, for rates and freezing by group."""
        raise NotImplementedError


class RnnEncoder(LanguageEncoder):
    """Recurrent layers of ``rnn_lm``, which read from left to right.

    Args:
        input_size: width E.
        cell: ``rnn``, ``gru``, ``lstm`` or ``qrnn``.
        layers: number of layers.
        hidden_size: width of each.
        dropout: probability between layers.
    """

    def __init__(
        self,
        input_size: int,
        *,
        cell: Cell = "lstm",
        layers: int = 2,
        hidden_size: int = 200,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.rnn = CELLS[cell](input_size, hidden_size, layers, dropout=dropout if layers > 1 else 0.0)
        self.output_size = hidden_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states of the last layer; padding stands behind the words, where they do not see it."""
        states: Tensor = self.rnn(x.transpose(0, 1))[0]
        return states.transpose(0, 1)

    def layer_groups(self) -> list[Any]:
        """Return the recurrent layers as one group."""
        return [[self.rnn]]


class AwdEncoder(LanguageEncoder):
    """Layers of ``awd_lstm``, which read from left to right.

    Args:
        input_size: width E.
        hidden_size: width of the layers but the last, which has the width of the input.
        layers: number of layers.
        weight_dropout: probability of a zero in the recurrent weights.
        input_dropout: locked dropout on the embeddings.
        hidden_dropout: locked dropout between layers.
    """

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 1150,
        layers: int = 3,
        weight_dropout: float = 0.25,
        input_dropout: float = 0.2,
        hidden_dropout: float = 0.15,
    ) -> None:
        super().__init__()
        self.input_dropout = LockedDropout(input_dropout)
        sizes = [input_size, *[hidden_size] * (layers - 1), input_size]
        self.rnn = StackedLSTM(sizes, weight_dropout, hidden_dropout)
        self.output_size = input_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states of the last layer; padding stands behind the words, where they do not see it."""
        states: Tensor = self.rnn(self.input_dropout(x.transpose(0, 1)))[0]
        return states.transpose(0, 1)

    def layer_groups(self) -> list[Any]:
        """Return each layer."""
        return [[layer] for layer in self.rnn.layers]


class GPTEncoder(LanguageEncoder):
    """Blocks of ``gpt``, in which words see those before them; as wide as the embedding.

    Args:
        input_size: width E.
        layers, heads, feed_forward, dropout, positions, activation: as of ``gpt``.
    """

    def __init__(
        self,
        input_size: int,
        *,
        layers: int = 4,
        heads: int = 4,
        feed_forward: int | None = None,
        dropout: float = 0.1,
        positions: str | Callable[..., Positions] = "rotary",
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        width = 4 * input_size if feed_forward is None else feed_forward
        options = _options(input_size, heads, width, dropout, dropout, activation, norm_first=True)
        self.positions = positions_factory(positions)(width=input_size, heads=heads)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(options) for _ in range(layers))
        self.norm = make_norm(options)
        self.output_size = input_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states of the last block; padding stands behind the words, where they do not see it."""
        x = self.dropout(self.positions.add(x))
        for block in self.blocks:
            x, _ = block(x, self.positions)
        states: Tensor = self.norm(x)
        return states

    def layer_groups(self) -> list[Any]:
        """Return each block; positions go with the first, the norm with the last."""
        groups: list[Any] = [[block] for block in self.blocks]
        groups[0].append(self.positions)
        groups[-1].append(self.norm)
        return groups


class BertEncoder(LanguageEncoder):
    """Blocks of ``bert``, in which words see each other; as wide as the embedding.

    Args:
        input_size: width E.
        max_length: longest text, in tokens; that of ``masked_pairs``.
        layers, heads, feed_forward, dropout, activation, norm_first: as of ``bert``.

    Raises:
        DataError: a text is longer than ``max_length``.
    """

    def __init__(
        self,
        input_size: int,
        *,
        max_length: int = 64,
        layers: int = 2,
        heads: int = 2,
        feed_forward: int = 256,
        dropout: float = 0.1,
        activation: str = "gelu",
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        options = _options(input_size, heads, feed_forward, dropout, 0.0, activation, norm_first=norm_first)
        self.positions = LearnedPositions(input_size, heads, longest=max_length)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(EncoderBlock(options) for _ in range(layers))
        self.norm = nn.LayerNorm(input_size) if norm_first else nn.Identity()
        self.output_size = input_size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the states of the last block."""
        x = self.dropout(self.positions.add(x))
        for block in self.blocks:
            x = block(x, mask[:, None, None, :], self.positions)
        states: Tensor = self.norm(x)
        return states

    def layer_groups(self) -> list[Any]:
        """Return each block; positions go with the first, the norm with the last."""
        groups: list[Any] = [[block] for block in self.blocks]
        groups[0].append(self.positions)
        groups[-1].append(self.norm)
        return groups


def _options(
    width: int, heads: int, feed_forward: int, dropout: float, attention: float, activation: str, *, norm_first: bool
) -> BlockOptions:
    if min(width, heads, feed_forward) < 1 or not 0 <= dropout < 1:
        raise ParameterError(
            f"heads={heads}, feed_forward={feed_forward}, dropout={dropout}",
            where="text encoder",
            hint="numbers are at least 1, dropout lies in [0, 1)",
        )
    return BlockOptions(
        width,
        heads,
        feed_forward,
        dropout,
        attention,
        norm_first=norm_first,
        activation=activation,  # type: ignore[arg-type]
    )
