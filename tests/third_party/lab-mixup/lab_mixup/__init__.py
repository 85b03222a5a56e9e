"""Mixup."""
