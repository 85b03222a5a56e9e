"""Reports of a study's results."""

from __future__ import annotations
