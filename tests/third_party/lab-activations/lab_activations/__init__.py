"""A registry of activations, and a network that takes one."""
