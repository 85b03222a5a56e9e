"""Designs of studies, and what results say beyond one table: seeds, looks, variance, examples, tuning, datasets."""

from lab_statistics.sequential import until_decided

__all__ = ["until_decided"]
