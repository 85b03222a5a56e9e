"""Plain Transformer for translation."""
