"""An attention by distance."""
