"""Command line of ``lab``."""

from __future__ import annotations
