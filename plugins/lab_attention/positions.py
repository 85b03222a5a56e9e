"""Positions of tokens for attention, the components of the registry ``positions``.

A position scheme is built by ``factory(width=…, heads=…)``. It may act in three places: ``add`` on the embeddings,
``rotate`` on queries and keys, ``bias`` on the scores. By default each of them does nothing.

Shapes: B sentences, T queries, S keys, E width of the model, H heads, D = E / H width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lab.errors import DataError, ParameterError

__all__ = [
    "AlibiPositions",
    "LearnedPositions",
    "NoPositions",
    "Positions",
    "RotaryPositions",
    "SinusoidalPositions",
    "positions_factory",
]


class Positions(nn.Module):
    """Base class of position schemes.

    Args:
        width: width E of the model.
        heads: number H of attention heads, which divides the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads

    def add(self, x: Tensor, start: int = 0) -> Tensor:
        """Return embeddings (B, T, E) of the positions ``start``, ``start + 1``, … with their positions."""
        return x

    def rotate(self, x: Tensor, start: int = 0) -> Tensor:
        """Return queries or keys (B, H, T, D) of self-attention with their positions."""
        return x

    def bias(self, queries: int, keys: int, like: Tensor) -> Tensor | None:
        """Return what is added to the scores of self-attention, (H, queries, keys); None adds nothing.

        The queries are the last of the keys' positions.
        """
        return None


class NoPositions(Positions):
    """No positions: attention sees a set of words, except where a causal mask gives them an order."""


class SinusoidalPositions(Positions):
    """Sinusoidal positions, ``P[i, 2j] = sin(i / 10000^(2j/E))`` and ``P[i, 2j + 1] = cos`` of the same angle.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.5. They have no longest sentence.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.register_buffer("table", self._table(64), persistent=False)

    def _table(self, length: int) -> Tensor:
        angles = _angles(length, self.width)  # (T, ⌈E / 2⌉)
        # An odd width has no cosine for its last sine.
        return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, : self.width]

    def add(self, x: Tensor, start: int = 0) -> Tensor:
        end = start + x.shape[1]
        if end > len(self.table):
            # Doubled, so that decoding step by step computes few tables.
            self.table = self._table(2 * end).to(self.table.device)
        return x + self.table[start:end].to(x.dtype)


class LearnedPositions(Positions):
    """Learned positions: a vector per position, added to the embeddings.

    Gehring et al. 2017, arXiv:1705.03122. Drawn from N(0, 0.02²), as in BERT (Devlin et al. 2019, arXiv:1810.04805).

    Args:
        width, heads: as of ``Positions``.
        longest: number of positions.

    Raises:
        DataError: a sentence is longer; the message gives both lengths.
    """

    def __init__(self, width: int, heads: int, *, longest: int = 1_000) -> None:
        super().__init__(width, heads)
        if longest < 1:
            raise ParameterError(f"longest must be at least 1, got {longest}", where="positions 'learned'")
        self.table = nn.Parameter(torch.randn(longest, width) * 0.02)

    def add(self, x: Tensor, start: int = 0) -> Tensor:
        end, longest = start + x.shape[1], len(self.table)
        if end > longest:
            raise DataError(
                f"a sentence of {end:,} tokens is longer than the {longest:,} learned positions",
                where="positions 'learned'",
                hint=f"set architecture.positions.longest={end}, cut the sentences, or take 'sinusoidal'",
            )
        return x + self.table[start:end]


class RotaryPositions(Positions):
    """Rotary positions: queries and keys are rotated by angles that grow with the position.

    Su et al. 2021, arXiv:2104.09864. The product of a query and a key then depends on their distance alone. Dimension
    d of a head is paired with dimension d + D / 2.

    Args:
        width, heads: as of ``Positions``; the width of a head must be even.
        base: the slowest pair turns by about 1 / base per position.
    """

    def __init__(self, width: int, heads: int, *, base: float = 10_000.0) -> None:
        super().__init__(width, heads)
        if (width // heads) % 2:
            raise ParameterError(
                f"rotary positions need heads of an even width, got {width // heads}",
                where="positions 'rotary'",
                hint="change width or heads",
            )
        self.base = base
        self.register_buffer("table", self._table(64), persistent=False)

    def _table(self, length: int) -> Tensor:
        """Return the factors (2, T, D) of a dimension and of the one that it is paired with."""
        angles = _angles(length, self.width // self.heads, self.base)  # (T, D / 2)
        sine, cosine = angles.sin(), angles.cos()
        return torch.stack([torch.cat([cosine, cosine], 1), torch.cat([-sine, sine], 1)])

    def rotate(self, x: Tensor, start: int = 0) -> Tensor:
        end, half = start + x.shape[2], x.shape[3] // 2
        if end > self.table.shape[1]:
            # Doubled, so that decoding step by step computes few tables.
            self.table = self._table(2 * end).to(self.table.device)
        own, paired = self.table[:, start:end].to(x.dtype)
        return x * own + x.roll(half, -1) * paired


class AlibiPositions(Positions):
    """Linear biases (ALiBi): each head subtracts ``slope · |distance|`` from its scores.

    Press, Smith & Lewis 2022, arXiv:2108.12409, with the paper's slopes; for numbers of heads that are no power of 2
    as in its code. Differs from the paper: in an encoder, which sees both sides, distances are absolute.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.register_buffer("slopes", torch.tensor(_slopes(heads)), persistent=False)

    def bias(self, queries: int, keys: int, like: Tensor) -> Tensor:
        places = torch.arange(keys, device=like.device)
        distances = (places[keys - queries :].unsqueeze(1) - places).abs()  # (T, S)
        return -self.slopes.view(-1, 1, 1).to(like) * distances.to(like)


def positions_factory(given: str | Callable[..., Positions]) -> Callable[..., Positions]:
    """Return the factory of a built-in scheme by its name, or what is given."""
    built_in: dict[str, Callable[..., Positions]] = {
        "alibi": AlibiPositions,
        "learned": LearnedPositions,
        "none": NoPositions,
        "rotary": RotaryPositions,
        "sinusoidal": SinusoidalPositions,
    }
    if not isinstance(given, str):
        return given
    if given not in built_in:
        raise ParameterError(f"unknown positions '{given}'", hint=f"one of: {', '.join(built_in)}")
    return built_in[given]


def _angles(length: int, width: int, base: float = 10_000.0) -> Tensor:
    """Return ``i / base^(2j / width)`` for the positions i and the pairs j: (length, ⌈width / 2⌉)."""
    places = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    return places / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)


def _slopes(heads: int) -> list[float]:
    """Return 2^(-8/n), 2^(-16/n) … for n heads.

    >>> _slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    # The paper's code fills up with every other slope of twice as many heads.
    return slopes + [2 ** (-4 * (2 * head + 1) / power) for head in range(heads - power)]
