"""What is in here: searching settings, and which of them matter."""

from __future__ import annotations
