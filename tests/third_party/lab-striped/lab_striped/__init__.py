"""A sampler in stripes."""
