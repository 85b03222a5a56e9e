"""Detection in new pictures: ``learner.detect(...)``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lab.errors import LabError, ParameterError, ShapeError
from lab_detection.data import BoxData
from lab_detection.output import detections, has_masks, masked_detections
from lab_detection.pictures import resized
from lab_detection.proposals import REGIONS, color_regions

if TYPE_CHECKING:
    from PIL import Image

    from lab import Learner

__all__ = ["detect"]


def detect(
    learner: Learner,
    image: Path | str | Tensor | Image.Image,
    *,
    least: float = 0.3,
    overlap: float = 0.5,
    proposals: Tensor | None = None,
) -> list[dict[str, Any]]:
    """Detect the objects of one picture.

    Args:
        learner: a learner of a detector.
        image: a file or a picture of Pillow, turned by its EXIF orientation; or a scaled picture (C, H, W) as in a
            batch.
        least: the least score.
        overlap: the largest overlap of two detections of one class.
        proposals: (R, 4) regions in fractions of the picture, for a detector that classifies given ones; None computes
            them if those of the training pictures were computed.

    Returns:
        a dictionary for each object, the highest score first: ``class``, ``score``, and ``box`` (left, top, right,
            bottom) in fractions of the picture; of a detector with masks also ``mask``, its pixels (H, W) bool in the
            picture as the network sees it.

    Raises:
        LabError: the learner detects no objects, or there are no proposals for a detector that classifies them.
        ParameterError: a threshold is out of range, the image is none, or the detector takes no proposals.
        ShapeError: a tensor is no single picture.
    """
    data: Any = learner.data
    if not isinstance(data, BoxData):
        raise LabError("this run detects no objects", where=type(data).__name__, hint="name a run of a detector")
    if not 0 <= least <= 1 or not 0 < overlap <= 1:
        raise ParameterError(f"least={least}, overlap={overlap}", where="detect", hint="both between 0 and 1")
    takes_proposals = getattr(learner.model, "proposals", "") == "given"
    if proposals is not None and not takes_proposals:
        raise ParameterError(
            "this detector takes no proposals", where="detect", hint="they are for use('fast_rcnn', proposals='given')"
        )
    images = _prepared(data, image)
    inputs = [images]
    if takes_proposals:
        inputs.append(_regions(data, images) if proposals is None else proposals.unsqueeze(0))
    with learner.evaluating():
        output = learner.model(*(each.to(learner.device) for each in inputs)).float()
        masks = None
        if has_masks(output):
            size = (images.shape[2], images.shape[3])
            found, masks = masked_detections(output, size=size, least=least, overlap=overlap)
        else:
            found = detections(output, least=least, overlap=overlap)
    return [
        {"class": data.class_names[kind], "score": score, "box": tuple(box)}
        | ({} if masks is None else {"mask": masks[0, row].cpu()})
        for row, (kind, score, box) in enumerate(zip(*(each[0].tolist() for each in found), strict=True))
        if kind >= 0
    ]


def _prepared(data: BoxData, image: Any) -> Tensor:
    """Return one picture as a batch (1, C, H, W)."""
    from PIL import Image, ImageOps

    if isinstance(image, Tensor):
        if image.dim() != 3 or len(image) != data.channels:
            raise ShapeError(
                f"the image has the shape {tuple(image.shape)}, expected one picture ({data.channels}, H, W)",
                where="detect",
                hint="of a batch, each picture by itself: images[0]",
            )
        return image.unsqueeze(0)
    if isinstance(image, Image.Image):
        pixels, _ = resized(ImageOps.exif_transpose(image), data.image_size)
        return data.train.scaled(torch.from_numpy(pixels.copy()).unsqueeze(0))
    if isinstance(image, (str, Path)):
        return data.prepared([image])
    raise ParameterError(
        f"the image is a {type(image).__name__}",
        where="detect",
        hint="a file, a picture of Pillow, a tensor (C, H, W)",
    )


def _regions(data: BoxData, images: Tensor) -> Tensor:
    """Return proposals (1, R, 4) for a new picture, computed as those of the training pictures."""
    if data.proposals_from != REGIONS:
        raise LabError(
            "this detector classifies proposals, and there are none for this picture",
            where=f"its training pictures had those of {data.proposals_from or 'none'}",
            hint="lab detect KEY PICTURE --proposals FILE, or detect(..., proposals=boxes)",
        )
    pixels = (255 * data.pixels_of(images)).round().to(torch.uint8).cpu().numpy()
    return torch.from_numpy(color_regions(pixels[0])).unsqueeze(0)
