"""Networks over sets, with a registry of poolings and a command."""
