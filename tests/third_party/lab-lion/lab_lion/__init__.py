"""The optimizer Lion."""
