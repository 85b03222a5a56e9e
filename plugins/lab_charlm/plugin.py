"""What is in here: character language models: text in streams, recurrent models, generation."""

from __future__ import annotations
