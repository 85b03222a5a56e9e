"""The multi-class hinge loss."""
