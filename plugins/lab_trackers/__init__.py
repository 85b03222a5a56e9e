"""Trackers of experiments: runs in MLflow and Weights & Biases, while they train or afterwards."""
