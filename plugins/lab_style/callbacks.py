"""The picture after every epoch as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_basics.monitor import finished_epoch

from lab import Callback
from lab.errors import LabError
from lab_style.models import StylePicture

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from lab import Learner

__all__ = ["PICTURES", "PictureByEpoch"]

PICTURES = "pictures.json"


class PictureByEpoch(Callback):
    """Save the trained picture after every epoch, and when training ends as an animation and beside its sources.

    The artefacts are ``epoch-000.png`` (the start), ``epoch-001.png`` …, ``pictures.gif``, ``pictures.png`` (content,
    style, result) and ``pictures.json``; the report shows the last three. With the stepper ``picture_step``, the
    history gets ``train_content_loss``, ``train_style_loss`` and ``train_smooth_loss``.

    Args:
        scale: edge of a pixel in the files.
    """

    observer = True

    def __init__(self, *, scale: int = 2) -> None:
        self.scale = scale

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.model, StylePicture):
            raise LabError("the callback 'picture_by_epoch' needs a picture", where=type(learner.model).__name__)

    def before_fit(self, learner: Learner) -> None:
        # Not when a run is resumed: the picture is no longer the one it began as.
        if learner.folder is not None and not learner.position.step:
            self._image(learner, learner.model.picture).save(learner.artefact("epoch-000.png"))

    def after_epoch(self, learner: Learner) -> None:
        row = finished_epoch(learner)
        if row is not None:
            row |= {f"train_{name}": value for name, value in getattr(learner.stepper, "epoch_losses", {}).items()}
        if learner.folder is None:
            return
        # Files, not a list in memory: they survive a crash.
        self._image(learner, learner.model.picture).save(learner.artefact(f"epoch-{len(learner.history):03}.png"))

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        from PIL import Image

        data: Any = learner.data
        result = self._image(learner, learner.model.picture)
        row = [self._image(learner, data.content), self._image(learner, data.style), result]
        sheet = Image.new("RGB", (sum(each.width + 6 for each in row) - 6, result.height), "white")
        for number, each in enumerate(row):
            sheet.paste(each, (number * (result.width + 6), 0))
        sheet.save(learner.artefact("pictures.png"))
        paths = Path(learner.artefact("pictures.png")).parent.glob("epoch-*.png")
        # By number: as text, epoch-1000 comes before epoch-999.
        paths = sorted(paths, key=lambda path: int(path.stem.removeprefix("epoch-")))
        frames = []
        for path in paths:
            with Image.open(path) as frame:
                frames.append(frame.convert("RGB"))
        # The last picture stays for a while before the animation begins again.
        times = [300] * (len(frames) - 1) + [2000]
        frames[0].save(
            learner.artefact("pictures.gif"), save_all=True, append_images=frames[1:], duration=times, loop=0
        )
        content = {"epochs": len(learner.history), "row": ["content", "style", "result"]}
        learner.artefact(PICTURES).write_text(json.dumps(content), encoding="utf-8")

    def _image(self, learner: Learner, picture: Tensor) -> Image:
        from PIL import Image

        data: Any = learner.data
        pixels = (255 * data.pixels_of(picture.detach().cpu())[0]).round().byte().permute(1, 2, 0).numpy()
        image = Image.fromarray(pixels)
        return image.resize((self.scale * image.width, self.scale * image.height), Image.Resampling.NEAREST)
