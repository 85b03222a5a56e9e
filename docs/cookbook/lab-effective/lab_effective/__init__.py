"""Sampler that balances classes by their effective number of examples."""
