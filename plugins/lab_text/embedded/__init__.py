"""The embedded French-English question corpus: generated, deterministic, with its word alignment.

A grammar builds both sides at once, so that every pair is a translation by construction and the corpus needs no
download. What makes it more than a lookup: agreement in gender and number, adjectives and materials that change
sides, clitics and elision, inversion and *est-ce que*, negation in two parts, relative clauses, and pronouns and
possessives whose translation depends on a word far away.
"""

from __future__ import annotations

from lab_text.embedded.corpus import VERSION, Pair, generate
from lab_text.embedded.spelling import tokens

__all__ = ["VERSION", "Pair", "generate", "tokens"]
