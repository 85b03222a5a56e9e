"""Example data for the conformance kit: small drawn pictures with boxes and with masks."""

from __future__ import annotations

import atexit
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab import use
from lab.testing import ComponentCase, ConformanceSupport, Example
from lab_detection.anchors import assign, multibox_prior
from lab_detection.data import IGNORED, BoxData, MaskBatch, MaskData
from lab_detection.layers import ConvBody, roi_align
from lab_detection.losses import detection_loss
from lab_detection.output import masks_of, pack
from lab_detection.sources import drawn_boxes, drawn_masks

__all__ = [
    "SomeBoxes",
    "SomeDetections",
    "SomeInstanceDetections",
    "SomeInstances",
    "SomeMasks",
    "SomeProposals",
    "support",
]

EDGE = 32


@cache
def _boxes() -> BoxData:
    return drawn_boxes(size=EDGE, train=24, valid=8, objects=(1, 2), sizes=(0.3, 0.6))


class _OneMap(nn.Module):
    """Detector with anchors of one size on one map."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.body = ConvBody(3, widths=(4, 8))
        self.head = nn.Conv2d(8, classes + 5, 1)

    def forward(self, images: Tensor, proposals: Tensor | None = None) -> Tensor:
        found = self.head(self.body(images)).flatten(2).transpose(1, 2)
        anchors = multibox_prior(EDGE // 4, EDGE // 4, [0.4], [1.0], device=found.device)
        return pack(found[..., : self.classes + 1], found[..., self.classes + 1 :], anchors, classes=self.classes)


class SomeBoxes(Example):
    """Pictures (B, 3, 32, 32) with objects (B, 2, 5) of five classes."""

    has_flat_targets = False
    kinds = ("losses", "metrics", "callbacks", "steppers")

    def make_data(self) -> BoxData:
        return _boxes()

    def model(self) -> nn.Module:
        return _OneMap(5)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return detection_loss(output, target)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        anchors = multibox_prior(8, 8, [0.4], [1.0])
        logits, offsets = (torch.randn(len(batch.target), 64, width, generator=generator) for width in (6, 4))
        return pack(logits, offsets, anchors, classes=5)

    def perfect_output(self, batch: Any) -> Tensor:
        anchors = multibox_prior(8, 8, [0.4], [1.0])
        wanted = assign(anchors, batch.target)
        return pack(40.0 * functional.one_hot(wanted.classes, 6).float(), wanted.offsets, anchors, classes=5)

    def wrong_shape_batch(self, batch: Any) -> Any:
        return batch._replace(images=torch.cat([batch.images, batch.images], 1))


class SomeProposals(SomeBoxes):
    """The pictures of ``SomeBoxes`` with regions (B, R, 4) of similar color."""

    kinds = ("callbacks", "metrics")

    def make_data(self) -> BoxData:
        return drawn_boxes(size=EDGE, train=24, valid=8, objects=(1, 2), sizes=(0.3, 0.6), proposals="regions")


class SomeDetections(SomeBoxes):
    """The pictures of ``SomeBoxes`` for detectors, whose outputs have as many rows as they have anchors."""

    kinds = ("architectures",)

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch.target), self.rows, 15, generator=generator)


class SomeInstances(SomeBoxes):
    """The pictures of ``SomeBoxes`` with a mask (32, 32) of every object."""

    kinds = ("metrics", "losses", "callbacks")

    def make_data(self) -> BoxData:
        return drawn_boxes(size=EDGE, train=24, valid=8, objects=(1, 2), sizes=(0.3, 0.6), instances=True)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        anchors = multibox_prior(8, 8, [0.4], [1.0])
        logits, offsets = (torch.randn(len(batch.target), 64, width, generator=generator) for width in (6, 4))
        masks = torch.randn(len(batch.target), 64, 8, 8, generator=generator)
        return pack(logits, offsets, anchors, classes=5, masks=masks)

    def perfect_output(self, batch: Any) -> Tensor:
        anchors = multibox_prior(8, 8, [0.4], [1.0])
        wanted = assign(anchors, batch.target)
        logits = 40.0 * functional.one_hot(wanted.classes, 6).float()
        count = len(batch.target)
        rows = wanted.objects.clamp(min=0)
        every = masks_of(batch.target)
        assert every is not None
        chosen = every[torch.arange(count)[:, None], rows].flatten(0, 1)  # (B · 64, 32, 32)
        # As fine as the objects' own, so that pixels agree.
        cells = roi_align(chosen.unsqueeze(1), wanted.boxes.flatten(0, 1).unsqueeze(1), EDGE)
        masks = (80.0 * (cells[:, 0, 0] - 0.5)).unflatten(0, (count, 64))
        return pack(logits, wanted.offsets, anchors, classes=5, masks=masks)


class SomeInstanceDetections(SomeInstances):
    """The pictures of ``SomeInstances`` for ``mask_rcnn``, with 4 × 4 masks."""

    kinds = ("architectures",)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(len(batch.target), 262, 15 + 16, generator=generator)


class SomeMasks(Example):
    """Pictures (B, 3, 32, 32) with masks (B, 32, 32) of six classes, background included."""

    has_flat_targets = False
    kinds = ("architectures", "callbacks", "metrics")

    def make_data(self) -> MaskData:
        return drawn_masks(size=EDGE, train=24, valid=8, objects=(1, 2), sizes=(0.3, 0.6))

    def model(self) -> nn.Module:
        return _EveryPixel()

    def loss(self, output: Any, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.permute(0, 3, 1, 2), target, ignore_index=IGNORED)

    def output(self, batch: Any, generator: torch.Generator) -> Tensor:
        return torch.randn(*batch.target.shape, 6, generator=generator)

    def perfect_output(self, batch: Any) -> Tensor:
        return 40.0 * functional.one_hot(batch.target, 6).float()

    def wrong_shape_batch(self, batch: Any) -> Any:
        return MaskBatch(torch.cat([batch.images, batch.images], 1), batch.target)


class _EveryPixel(nn.Module):
    """Linear model of the neighborhood of every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.conv(images).permute(0, 2, 3, 1)
        return found


@cache
def _voc() -> str:
    """Write drawn pictures in the layouts of Pascal VOC and COCO; the files are deleted when the process ends."""
    from PIL import Image

    folder = tempfile.TemporaryDirectory(prefix="lab-conformance-")
    atexit.register(folder.cleanup)
    places = {name: Path(folder.name) / name for name in ("JPEGImages", "Annotations", "SegmentationClass")}
    for place in places.values():
        place.mkdir()
    boxes, masks = _boxes(), SomeMasks().make_data()
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(boxes.class_names)]
    for number in range(len(boxes.train)):
        name = f"{number:03}"
        pixels = boxes.train.pixels[number].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(places["JPEGImages"] / f"{name}.png")
        Image.fromarray(masks.train.target[number].numpy()).save(places["SegmentationClass"] / f"{name}.png")
        # With its folder: the mask has the same name.
        content["images"].append({"id": number, "file_name": f"JPEGImages/{name}.png"})
        objects = []
        for kind, *corners in boxes.train.target[number].tolist():
            if kind < 0:
                continue
            left, top, right, bottom = (round(EDGE * each) for each in corners)
            shape = {"image_id": number, "category_id": int(kind), "bbox": [left, top, right - left, bottom - top]}
            content["annotations"].append(shape)
            sides = zip(("xmin", "ymin", "xmax", "ymax"), (left + 1, top + 1, right, bottom), strict=True)
            corners_xml = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
            label = boxes.class_names[int(kind)]
            objects.append(f"<object><name>{label}</name><bndbox>{corners_xml}</bndbox></object>")
        (places["Annotations"] / f"{name}.xml").write_text(f"<annotation>{''.join(objects)}</annotation>")
    (Path(folder.name) / "annotations.json").write_text(json.dumps(content))
    return folder.name


def support() -> ConformanceSupport:
    """Return the example data and how each component is tried."""
    sizes = [[0.3, 0.4], [0.5, 0.6]]
    single = use("ssd", widths=[4, 8], width=8, sizes=sizes)
    two = {"widths": [4, 8], "sizes": [0.3, 0.5], "proposal_count": 6, "pool_size": 2, "head_width": 8}
    # 8² and 4² pixels with four anchors each; four anchors on 8² and six proposals.
    examples = {
        "some_boxes": SomeBoxes,
        "some_instances": SomeInstances,
        "some_masks": SomeMasks,
        "some_proposals": SomeProposals,
        "instances_of_mask_rcnn": SomeInstanceDetections,
        "boxes_of_ssd": lambda: SomeDetections(320),
        "boxes_of_small_ssd": lambda: SomeDetections(100),
        "boxes_of_tiny_ssd": lambda: SomeDetections(84),
        "boxes_of_faster_rcnn": lambda: SomeDetections(262),
        "boxes_of_fast_rcnn": lambda: SomeDetections(6),
    }
    boxes = {"examples": ("some_boxes",)}
    return ConformanceSupport(
        examples=examples,
        cases={
            "architectures.ssd": ComponentCase(single, examples=("boxes_of_ssd",)),
            "architectures.small_ssd": ComponentCase(
                use("small_ssd", widths=[4, 8, 8], width=8), examples=("boxes_of_small_ssd",)
            ),
            "architectures.tiny_ssd": ComponentCase(
                use("tiny_ssd", widths=[4, 8, 8], width=8, sizes=sizes[:1] * 2 + [[0.8, 0.9]]),
                examples=("boxes_of_tiny_ssd",),
            ),
            "architectures.faster_rcnn": ComponentCase(use("faster_rcnn", **two), examples=("boxes_of_faster_rcnn",)),
            "architectures.fast_rcnn": ComponentCase(use("fast_rcnn", **two), examples=("boxes_of_fast_rcnn",)),
            "architectures.mask_rcnn": ComponentCase(
                use("mask_rcnn", mask_size=4, **two), examples=("instances_of_mask_rcnn",)
            ),
            "losses.detection_loss": ComponentCase(examples=("some_boxes", "some_instances")),
            "metrics.mask_map": ComponentCase(examples=("some_instances",)),
            **{
                f"metrics.{name}": ComponentCase(**boxes)
                for name in ("map", "map_coco", "map_soft", "class_error", "box_error")
            },
            "architectures.fcn": ComponentCase(use("fcn", widths=[4, 8], skips=True), examples=("some_masks",)),
            "architectures.unet": ComponentCase(use("unet", widths=[4, 8, 8]), examples=("some_masks",)),
            "callbacks.augment_objects": ComponentCase(
                use("augment_objects", mosaic=0.5),
                examples=("some_boxes", "some_instances", "some_masks", "some_proposals"),
            ),
            "callbacks.draw_boxes": ComponentCase(
                use("draw_boxes", count=2), examples=("some_boxes", "some_proposals")
            ),
            "callbacks.draw_masks": ComponentCase(use("draw_masks", count=2), examples=("some_masks",)),
            "metrics.mean_iou": ComponentCase(examples=("some_masks",)),
            "datasets.bccd": ComponentCase(use("bccd", height=48, width=64)),
            "datasets.coco_boxes": ComponentCase(use("coco_boxes", path=_voc(), height=32, width=32)),
            "datasets.drawn_classes": ComponentCase(use("drawn_classes", train=60, valid=20, test=10)),
            "datasets.drawn_masks": ComponentCase(use("drawn_masks", train=60, valid=20)),
            "datasets.voc_boxes": ComponentCase(
                use("voc_boxes", path=_voc(), height=32, width=32, proposals="regions")
            ),
            "datasets.voc_masks": ComponentCase(use("voc_masks", path=_voc(), height=32, width=32)),
            "datasets.drawn_boxes": ComponentCase(use("drawn_boxes", train=60, valid=20, test=10, proposals="regions")),
        },
    )
