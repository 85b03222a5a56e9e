"""Mixed examples."""
