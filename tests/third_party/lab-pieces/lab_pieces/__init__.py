"""Pieces of words."""
