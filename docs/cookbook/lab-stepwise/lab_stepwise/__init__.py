"""Transformer that decodes step by step."""
