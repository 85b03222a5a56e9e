"""The Brier score."""
