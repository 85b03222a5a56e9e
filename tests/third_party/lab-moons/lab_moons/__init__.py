"""Dataset of two interleaving half-circles."""
