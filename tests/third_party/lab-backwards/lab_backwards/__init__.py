"""Executor with the last run first."""
