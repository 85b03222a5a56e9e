"""Multi-class hinge loss."""
