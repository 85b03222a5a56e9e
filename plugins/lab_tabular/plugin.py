"""What is in here: tables: processors, entity embeddings, trees beside nets."""

from __future__ import annotations
