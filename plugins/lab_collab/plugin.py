"""What is in here: collaborative filtering: ratings, factor models, recommendations."""

from __future__ import annotations
