"""Network with gated linear units."""
