"""Registries: names → components. This room knows no torch."""

from __future__ import annotations
