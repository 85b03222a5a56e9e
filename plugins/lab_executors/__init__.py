"""Executors of one machine: a pool of processes, and the processes that torchrun starts."""
