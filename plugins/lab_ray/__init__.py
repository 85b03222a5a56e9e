"""Runs on a cluster: an executor that trains them as Ray actors."""
