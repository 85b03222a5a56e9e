"""Contract of the registry ``text_encoders``."""

from __future__ import annotations

from torch import nn

__all__ = ["TextEncoder"]


class TextEncoder(nn.Module):
    """Base class of encoders.

    Attributes:
        output_size: width of its output.

    Shapes:
        x (B, T, E), mask (B, T) bool, True = a word; every text has one → (B, T, W). Padding does not change words.
    """

    output_size: int
