"""Reports: what a study found, for readers."""

from __future__ import annotations
