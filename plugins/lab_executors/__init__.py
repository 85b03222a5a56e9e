"""Executors: a pool of processes on one machine, and torchrun's processes."""
