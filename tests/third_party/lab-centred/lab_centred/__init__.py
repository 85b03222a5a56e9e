"""Centred gradients."""
