"""Strided sampler."""
