"""Searching settings, and asking the trials which of them matter."""
