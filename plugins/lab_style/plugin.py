"""Plugin for style transfer: the picture is the parameter."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """A picture of content and one of style."""
    return {"two_pictures": "lab_style.data:two_pictures"}


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """The picture that is trained."""
    return {"style_picture": "lab_style.models:StylePicture"}


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Weighted distances of content and style."""
    return {"style_loss": "lab_style.losses:style_loss"}


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """The step on the pixels."""
    return {"picture_step": "lab_style.steppers:PictureStep"}


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Each distance by itself."""
    return {
        "content_distance": "lab_style.losses:ContentDistance",
        "roughness": "lab_style.losses:Roughness",
        "style_distance": "lab_style.losses:StyleDistance",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """The picture by epoch."""
    return {"picture_by_epoch": "lab_style.callbacks:PictureByEpoch"}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Content, style, result, and the animation between them."""
    from lab_style.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_style.conformance:support"
