"""Outcomes of a check: a finding, or that it does not apply."""

from __future__ import annotations

import unittest

__all__ = ["Finding", "NotApplicable"]


class Finding(AssertionError):
    """A component does what its contract forbids, or does not do what it asks for.

    Args:
        what: one sentence of what was observed.
        hint: what to do about it; may hold several lines.
    """

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__("\n".join([what, *(f"  {line}" for line in (hint or "").splitlines())]))
        self.what, self.hint = what, hint


class NotApplicable(unittest.SkipTest):
    """The check does not apply to this component; the message says why. pytest shows it as skipped."""
