"""Sampler that balances classes."""
