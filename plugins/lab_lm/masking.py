"""Masking of tokens for masked language models."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn import functional

from lab.errors import DataError

__all__ = ["IGNORED", "Masking", "mask_tokens", "unmasked"]

IGNORED = -100
"""Label where nothing is to be predicted, as in torch's cross-entropy."""


@attrs.frozen
class Masking:
    """Proportions of masking.

    Attributes:
        vocab_size: tokens V.
        mask_id: of ``<mask>``.
        first_id: ids below are special: they are never predicted, and never drawn as a random token; the unknown token
            is predicted as any other.
        rate: fraction of the tokens of a text to predict, at least one.
        mask_share: fraction of these that becomes ``<mask>``.
        random_share: fraction of these that becomes a random token.
    """

    vocab_size: int
    mask_id: int
    first_id: int
    rate: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1


def mask_tokens(
    tokens: Tensor, noise: Tensor, masking: Masking, width: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return masked tokens (B, T), positions to predict (B, K), and the tokens there (B, K).

    Labels are -100 where a text has fewer than K.

    Of n tokens that may be predicted, ``max(1, round(rate · n))`` are, as in the code of Devlin et al. 2019: those with
    the smallest ``noise[..., 0]``. Where ``noise[..., 1]`` is below ``mask_share``, they become ``<mask>``; in the next
    ``random_share``, a random token, uniform over those that are not special; else they stay. Positions are in order.

    Args:
        tokens: (B, T) long.
        noise: (B, T, 2) float64, uniform in [0, 1).
        masking: proportions.
        width: K; None for the most that a text of the batch has.

    Raises:
        DataError: a text has no token to predict.
    """
    # 1 is the unknown token
    candidates = (tokens >= masking.first_id) | (tokens == 1)
    sizes = candidates.sum(1)
    if not bool((sizes > 0).all()):
        raise DataError("a text has no token to predict: all of it is special tokens", where="mask_tokens")
    # round half up, where torch rounds half to even
    counts = (sizes * masking.rate + 0.5).floor().long().clamp(min=1)
    most = int(counts.max()) if width is None else min(width, tokens.shape[1])
    ranked = noise[..., 0].masked_fill(~candidates, 2.0).argsort(1)[:, :most]
    chosen = torch.arange(most, device=tokens.device) < counts.unsqueeze(1)
    # In order, with those that a text has too many of at the end.
    positions = ranked.masked_fill(~chosen, tokens.shape[1]).sort(1).values
    positions = positions.masked_fill(~chosen, 0)
    own = tokens.gather(1, positions)
    kind = noise[..., 1].gather(1, positions)
    shift = (kind - masking.mask_share) / max(masking.random_share, 1e-12)
    words = masking.vocab_size - masking.first_id
    drawn = masking.first_id + (shift.clamp(0, 1) * words).long().clamp(max=words - 1)
    replaced = torch.where(kind < masking.mask_share, masking.mask_id, own)
    is_random = (kind >= masking.mask_share) & (kind < masking.mask_share + masking.random_share)
    replaced = torch.where(is_random, drawn, replaced)
    masked = tokens.clone()
    rows = torch.arange(len(tokens), device=tokens.device).unsqueeze(1).expand_as(positions)
    masked[rows[chosen], positions[chosen]] = replaced[chosen]
    labels = own.masked_fill(~chosen, IGNORED)
    missing = 0 if width is None else width - most
    return masked, functional.pad(positions, (0, missing)), functional.pad(labels, (0, missing), value=IGNORED)


def unmasked(masked: Tensor, positions: Tensor, labels: Tensor) -> Tensor:
    """Return the tokens (B, T) before ``mask_tokens``."""
    tokens, chosen = masked.clone(), labels != IGNORED
    rows = torch.arange(len(tokens), device=tokens.device).unsqueeze(1).expand_as(positions)
    tokens[rows[chosen], positions[chosen]] = labels[chosen]
    return tokens
