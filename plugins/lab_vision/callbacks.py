"""Artefacts of a run on pictures: confusion matrix, largest losses, activation maps, filters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from lab import Callback
from lab.errors import LabError
from lab_vision.inside import cam, confusion_matrix, first_filters, grad_cam, largest_losses

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["INSIDE", "LookInside"]

INSIDE = "inside.json"
KINDS = ("confusion", "losses", "cam", "filters")


class LookInside(Callback):
    """Plot the confusion matrix, the largest losses, activation maps and the first filters when training ends.

    The artefacts are ``confusion.png``, ``losses.png``, ``cam.png``, ``filters.png`` and ``inside.json``; the report
    and TensorBoard show them. Maps are of the predicted class: class activation maps if the model ends in global
    average pooling, Grad-CAM of ``layer`` otherwise. A model without convolutions has neither maps nor filters.

    Args:
        count: number of pictures per plot.
        layer: layer for Grad-CAM; empty takes the last one with feature maps.
        tta: evaluate test-time augmentation as well.
    """

    observer = True

    def __init__(self, *, count: int = 12, layer: str = "", tta: bool = False) -> None:
        self.count, self.layer, self.tta = count, layer, tta

    def check(self, learner: Learner) -> None:
        if not hasattr(learner.data, "pixels_of"):
            raise LabError("the callback 'look_inside' needs pictures", where=type(learner.data).__name__)
        if learner.data.several:
            raise LabError("the callback 'look_inside' needs pictures with one class each", where="learner.data")
        if self.layer:
            grad_cam(learner, learner.data.train[0][0], self.layer)

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        from lab_vision.plots import plot_confusion, plot_filters, plot_sheet

        data: Any = learner.data
        names = data.class_names
        counts = confusion_matrix(learner)
        self._save(learner, "confusion", plot_confusion(counts, names))
        worst = largest_losses(learner, self.count)
        images = data.valid.__getitems__([each.index for each in worst])[0]
        titles = [f"{names[each.target]}\npredicted {names[each.predicted]}, {each.loss:.1f}" for each in worst]
        self._save(learner, "losses", plot_sheet(data.pixels_of(images), titles))
        content: dict[str, Any] = {"worst": self._worst(counts, names)}
        layer = self.layer or _last_feature_maps(learner, images[:1])
        if layer:
            # Evenly spread, since pictures are ordered by class in most folders.
            spread = torch.linspace(0, len(data.valid) - 1, self.count).long().tolist()
            shown, target = data.valid.__getitems__(spread)
            predicted = learner.predict(shown).argmax(-1).cpu()
            maps, kind = self._maps(learner, shown, layer, predicted)
            content["maps"] = kind
            self._save(
                learner, "cam", plot_sheet(data.pixels_of(shown), map_titles(names, target, predicted), overlays=maps)
            )
            self._save(learner, "filters", plot_filters(first_filters(learner)))
        if self.tta:
            from lab_vision.augment import tta

            content["tta"] = tta(learner)
        learner.artefact(INSIDE).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")

    def _maps(
        self, learner: Learner, images: torch.Tensor, layer: str, classes: torch.Tensor
    ) -> tuple[torch.Tensor, str]:
        if not self.layer:
            try:
                return cam(learner, images, classes), "class activation maps"
            except LabError:
                pass
        return grad_cam(learner, images, layer, classes), f"Grad-CAM of {layer}"

    @staticmethod
    def _worst(counts: torch.Tensor, names: tuple[str, ...]) -> list[tuple[str, str, int]]:
        """Return the pairs of classes that are confused most often."""
        # Without the diagonal, which holds the correct predictions.
        errors = counts.clone().fill_diagonal_(0)
        order = errors.flatten().argsort(descending=True)[:5].tolist()
        pairs = [divmod(each, len(names)) for each in order]
        return [(names[i], names[j], int(errors[i, j])) for i, j in pairs if errors[i, j]]

    @staticmethod
    def _save(learner: Learner, name: str, figure: Any) -> None:
        from lab_vision.plots import as_png

        learner.artefact(f"{name}.png").write_bytes(as_png(figure))


def map_titles(names: Sequence[str], target: torch.Tensor, predicted: torch.Tensor) -> list[str]:
    """Return the title of each map: the class of the picture, and the predicted one, which the map explains."""
    return [
        names[right] if right == answer else f"{names[right]}\npredicted {names[answer]}"
        for right, answer in zip(target.tolist(), predicted.tolist(), strict=True)
    ]


def _last_feature_maps(learner: Learner, images: torch.Tensor) -> str:
    """Return the name of the last module with an output (B, C, h, w) of more than one pixel, or ""."""
    from lab_basics.hooks import Hooks

    found = [""]

    def note(name: str, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1:
            found[0] = name

    modules = {name: module for name, module in learner.model.named_modules() if name}
    with learner.evaluating(), Hooks(modules, note):
        learner.model(images.to(learner.device))
    return found[0]
