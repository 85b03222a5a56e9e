"""Executor with a process for each run."""
