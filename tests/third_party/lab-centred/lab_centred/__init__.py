"""Gradient centralization."""
