"""What is in here: pictures and words in one space (DeViSE)."""

from __future__ import annotations
