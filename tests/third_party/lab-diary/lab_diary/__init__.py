"""Diary of runs."""
