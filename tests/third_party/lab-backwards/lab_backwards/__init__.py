"""The last run first."""
