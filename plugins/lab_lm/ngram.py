"""Interpolated modified Kneser–Ney language model, as the baseline of networks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from lab_text.carried import CarriesState
from torch import Tensor

from lab.errors import ParameterError
from lab_lm.data import RunningText
from lab_lm.models import check_tokens

__all__ = ["KneserNey", "KneserNeyLM"]

Ids = npt.NDArray[np.int64]
_FALLBACK = (0.5, 1.0, 1.5)
_ROWS = 256


class _Order(NamedTuple):
    """Probabilities behind contexts of one length.

    Attributes:
        keys: sorted codes of the contexts, ``node of the context without its oldest token · V + oldest token``.
        starts: (contexts + 1,) where the tokens of each context begin.
        tokens: that follow the contexts.
        shares: discounted share of each of these tokens.
        backoff: (contexts,) weight of the shorter context.
        discounts: of counts 1, 2, and 3 or more.
    """

    keys: Ids
    starts: Ids
    tokens: Ids
    shares: npt.NDArray[np.float64]
    backoff: npt.NDArray[np.float64]
    discounts: tuple[float, ...]


class KneserNey:
    """Interpolated modified Kneser–Ney smoothing (Chen & Goodman 1999, *An empirical study of smoothing*, section 3).

    The longest n-grams have their counts, shorter ones the number of different tokens before them. Counts 1, 2, and 3
    or more have discounts of their own, estimated from the numbers of n-grams that occur once to four times; where one
    of these is 0, discounts are 0.5, 1 and 1.5, as in KenLM's fallback. Unigrams are interpolated with 1 / V.

    Args:
        ids: (N,) the training text.
        vocab_size: tokens V.
        order: n, tokens of the longest n-grams.
    """

    def __init__(self, ids: npt.NDArray[Any], vocab_size: int, order: int) -> None:
        ids = np.asarray(ids, np.int64)
        self.vocab_size, self.order = vocab_size, order
        # Nodes of the contexts of each position: level k is the context of the last k tokens, found from level k - 1
        # and the token before it. Node 0 of level 0 is the empty context.
        nodes, keys = [np.zeros(len(ids), np.int64)], [np.zeros(1, np.int64)]
        for length in range(1, min(order, len(ids))):
            # the context of position i is ids[i - length : i]
            code = nodes[-1][length:] * vocab_size + ids[: len(ids) - length]
            found, node = np.unique(code, return_inverse=True)
            keys.append(found)
            nodes.append(np.concatenate([np.full(length, -1), node]))
        self.levels: list[_Order] = []
        # From the longest down, since the counts of shorter ones are those of different longer ones.
        pairs, counts = None, None
        orders = []
        for length in reversed(range(len(keys))):
            if pairs is None:
                codes = nodes[length][length:] * vocab_size + ids[length:]
                pairs, counts = np.unique(codes, return_counts=True)
            else:
                parents = keys[length + 1] // vocab_size
                codes = parents[pairs // vocab_size] * vocab_size + pairs % vocab_size
                # each longer n-gram is one token before; the start of the text has none before it
                pairs, counts = np.unique(codes, return_counts=True)
                pairs, counts = _with_start(pairs, counts, nodes[length], ids, length, vocab_size)
            orders.append(_order(keys[length], pairs, counts, vocab_size))
        self.levels = orders[::-1]

    @property
    def discounts(self) -> list[tuple[float, ...]]:
        """Discounts of each order, unigrams first."""
        return [level.discounts for level in self.levels]

    def probabilities(self, contexts: Ids) -> npt.NDArray[np.float64]:
        """Return the probabilities (N, V) behind contexts (N, n - 1), the newest token last; -1 is no token."""
        result = np.full((len(contexts), self.vocab_size), 1 / self.vocab_size)
        rows, nodes = np.arange(len(contexts)), np.zeros(len(contexts), np.int64)
        for length, level in enumerate(self.levels):
            if length:
                oldest = contexts[rows, contexts.shape[1] - length]
                codes = nodes * self.vocab_size + oldest
                places = np.searchsorted(level.keys, codes).clip(max=len(level.keys) - 1)
                known = (level.keys[places] == codes) & (oldest >= 0)
                rows, nodes = rows[known], places[known]
            sizes = level.starts[nodes + 1] - level.starts[nodes]
            result[rows] *= level.backoff[nodes, None]
            at = np.repeat(level.starts[nodes] - np.concatenate([[0], sizes.cumsum()[:-1]]), sizes) + np.arange(
                sizes.sum()
            )
            result[np.repeat(rows, sizes), level.tokens[at]] += level.shares[at]
        return result


def _with_start(pairs: Ids, counts: Ids, nodes: Ids, ids: Ids, length: int, vocab_size: int) -> tuple[Ids, Ids]:
    """Add the n-gram at the start of the text, which no token precedes, with the count 1 if it occurs nowhere else."""
    first = nodes[length] * vocab_size + ids[length]
    at = int(np.searchsorted(pairs, first))
    if at < len(pairs) and pairs[at] == first:
        return pairs, counts
    return np.insert(pairs, at, first), np.insert(counts, at, 1)


def _order(keys: Ids, pairs: Ids, counts: Ids, vocab_size: int) -> _Order:
    discounts = _discounts(counts)
    nodes, tokens = pairs // vocab_size, pairs % vocab_size
    starts = np.searchsorted(nodes, np.arange(len(keys) + 1))
    discount = np.asarray((0.0, *discounts))[counts.clip(max=3)]
    totals = np.bincount(nodes, counts, len(keys))
    # Every context was followed by something, but for the last one of the text, whose weight is all of the backoff.
    safe = np.maximum(totals, 1)
    shares = (counts - discount) / safe[nodes]
    backoff = np.where(totals > 0, np.bincount(nodes, discount, len(keys)) / safe, 1.0)
    return _Order(keys, starts, tokens, shares, backoff, discounts)


def _discounts(counts: Ids) -> tuple[float, ...]:
    """Return the discounts of counts 1, 2, and 3 or more."""
    n = [int((counts == number).sum()) for number in range(1, 5)]
    if min(n) == 0:
        return _FALLBACK
    ratio = n[0] / (n[0] + 2 * n[1])
    found = tuple(k - (k + 1) * ratio * n[k] / n[k - 1] for k in (1, 2, 3))
    # Too few n-grams can give a discount outside of what a count has to give.
    return found if all(0 <= discount <= k for k, discount in enumerate(found, 1)) else _FALLBACK


class KneserNeyLM(CarriesState):
    """Language model of counted n-grams: ``KneserNey`` of the training text, as a baseline arm.

    It has no weights: it counts the training text when it is built, and the stepper ``next_token`` ends training after
    one epoch. As in Chen & Goodman 1999, but contexts reach over the ends of lines.

    Args:
        data: the training text.
        vocab_size: tokens V.
        order: n, tokens of the longest n-grams.

    Shapes:
        tokens (T, B) long → log-probabilities (T, B, V)

    Raises:
        ParameterError: ``order`` is out of range, or the data are not a running text.
    """

    is_counted = True

    def __init__(self, data: RunningText, vocab_size: int, *, order: int = 5) -> None:
        super().__init__()
        if not 1 <= order <= 9:
            raise ParameterError(f"order must lie between 1 and 9, got {order}", where="architecture 'ngram_lm'")
        ids = getattr(data.train, "ids", None)
        if ids is None:
            raise ParameterError(
                "n-grams are counted in a running text", where=type(data).__name__, hint="dataset='text'"
            )
        self.order = order
        self.counted = KneserNey(np.asarray(ids), vocab_size, order)
        self.register_buffer("discounts", torch.tensor(self.counted.discounts))

    def forward(self, tokens: Tensor, continues: bool = False) -> Tensor:
        """Return the log-probabilities (T, B, V) of the token after each."""
        check_tokens(tokens)
        logits, state = self.read(tokens, self.carried_state(tokens.shape[1]) if continues else None)
        self.carry(state)
        return logits

    def read(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities and the last n - 1 tokens (1, B, n - 1), -1 where there is none."""
        steps, batch = tokens.shape
        before = tokens.new_full((1, batch, self.order - 1), -1) if state is None else state
        seen = torch.cat([before[0].T, tokens])  # (n - 1 + T, B)
        # windows (T, B, n - 1), each of the tokens up to and with its own
        contexts = seen[1:].unfold(0, self.order - 1, 1) if self.order > 1 else seen.new_empty(steps, batch, 0)
        flat = contexts.reshape(steps * batch, -1).cpu().numpy()
        found = self.discounts.new_empty(len(flat), self.counted.vocab_size, device="cpu")
        for start in range(0, len(flat), _ROWS):
            chunk = self.counted.probabilities(flat[start : start + _ROWS])
            found[start : start + _ROWS] = torch.from_numpy(np.log(chunk))
        last = seen[len(seen) - (self.order - 1) :].T.unsqueeze(0)
        return found.view(steps, batch, -1).to(tokens.device), last

    def get_extra_state(self) -> Any:
        """Return the tokens that training carries to the next batch."""
        return self.carried[True]

    def set_extra_state(self, state: Any) -> None:
        """Restore the tokens of ``get_extra_state``."""
        self.carried[True] = state
