"""Studies: questions, where registries and training meet."""

from __future__ import annotations
