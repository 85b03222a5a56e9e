"""Plugin for boxes and masks: object detection and semantic segmentation."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Pictures with boxes and masks."""
    return {
        "drawn_boxes": "lab_detection.sources:drawn_boxes",
        "drawn_masks": "lab_detection.sources:drawn_masks",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Detectors with one stage and with two."""
    return {
        "ssd": "lab_detection.models:SSD",
        "tiny_ssd": preset("ssd", widths=[16, 32, 64]),
        "small_ssd": preset(
            "ssd",
            widths=[16, 32, 64],
            width=64,
            sizes=[[0.22, 0.3], [0.4, 0.5], [0.65, 0.8]],
        ),
        "faster_rcnn": "lab_detection.models:FasterRCNN",
        "fast_rcnn": preset("faster_rcnn", proposals="grid"),
    }


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Loss of detectors."""
    return {"detection_loss": "lab_detection.losses:detection_loss"}


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Mean average precision, errors of anchors, mean intersection over union."""
    return {
        "box_error": "lab_detection.metrics:BoxError",
        "class_error": "lab_detection.metrics:ClassError",
        "map": "lab_detection.metrics:MeanAP",
        "map_coco": "lab_detection.metrics:CocoMeanAP",
    }


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_detection.conformance:support"
