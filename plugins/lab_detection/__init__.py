"""Boxes and masks: object detection and semantic segmentation."""
