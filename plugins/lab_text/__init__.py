"""Text for `lab`: tokenizers, vocabularies, word vectors, named corpora and datasets of sentence pairs."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
