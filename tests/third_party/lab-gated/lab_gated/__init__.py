"""A network with gates."""
