"""Attention with a Gaussian kernel."""
