"""Plugin for boxes and masks: object detection and semantic segmentation."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Pictures with boxes and masks."""
    return {
        "bccd": "lab_detection.voc:bccd",
        "coco_boxes": "lab_detection.voc:coco_boxes",
        "drawn_boxes": "lab_detection.sources:drawn_boxes",
        "drawn_classes": "lab_detection.sources:drawn_classes",
        "drawn_masks": "lab_detection.sources:drawn_masks",
        "voc_boxes": "lab_detection.voc:voc_boxes",
        "voc_masks": "lab_detection.voc:voc_masks",
    }


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Public pictures with boxes."""
    return {"bccd": "lab_detection.voc:bccd_corpus"}


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Detectors with one stage and with two, and models of masks."""
    return {
        "ssd": "lab_detection.models:SSD",
        "tiny_ssd": preset("ssd", widths=[16, 32, 64]),
        "small_ssd": preset(
            "ssd",
            widths=[16, 32, 64],
            width=64,
            sizes=[[0.1, 0.2, 0.3], [0.4, 0.5], [0.65, 0.8]],
        ),
        "faster_rcnn": "lab_detection.models:FasterRCNN",
        "fast_rcnn": preset("faster_rcnn", proposals="grid"),
        "mask_rcnn": preset("faster_rcnn", mask_size=14),
        "fcn": "lab_detection.segmentation:FCN",
        "unet": "lab_detection.segmentation:UNet",
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
        "map_soft": preset("map", sigma=0.5),
        "mask_map": "lab_detection.metrics:MaskAP",
        "mean_iou": "lab_detection.metrics:MeanIoU",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Augmentation with boxes and masks, and plots of predictions."""
    return {
        "augment_objects": "lab_detection.augment:AugmentObjects",
        "draw_boxes": "lab_detection.callbacks:DrawBoxes",
        "draw_masks": "lab_detection.callbacks:DrawMasks",
    }


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """Command ``lab detect``."""
    return {
        "detect": (
            "lab_detection.commands:detect",
            "Detect the objects of a picture with a finished run.",
            "Trained models",
        )
    }


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.detect(picture)``."""
    return {"detect": "lab_detection.detect:detect"}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Pictures with boxes, precision-recall curves, worst misses, masks."""
    from lab_detection.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_detection.conformance:support"
