"""Tracker that keeps runs in an SQLite database."""
