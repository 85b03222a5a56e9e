"""Training step of style transfer: the picture is what moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lab.errors import LabError
from lab.training.stepper import Evaluation, Stepper
from lab_style.models import StylePicture

if TYPE_CHECKING:
    from lab.training import Learner

__all__ = ["LOSSES", "PictureStep"]

LOSSES = ("content_loss", "style_loss", "smooth_loss")
"""Names of the three parts of the loss, in the order of the model's output."""


class PictureStep(Stepper):
    """Optimizer step on the pixels of a picture, which are then clamped to what a picture can show.

    The loss is the sum of a content, a style and a total-variation loss (Gatys, Ecker & Bethge 2016; *Dive into Deep
    Learning*, 13.12). The weighted mean of each over the steps of an epoch is in ``epoch_losses``; the callback
    ``picture_by_epoch`` adds them to the history as ``train_content_loss``, ``train_style_loss`` and
    ``train_smooth_loss``. Differs from both: pixels are clamped at every step, not when the picture is shown, so that
    losses are those of the picture in the file.

    Args:
        clamp: keep pixels between black and white.
        normalize: divide the gradient by its mean absolute value, so that with ``sgd`` the learning rate is the mean
            step of a pixel, in standard deviations, whatever the body and the weights of the losses.
    """

    def __init__(self, *, clamp: bool = True, normalize: bool = False) -> None:
        self.clamp, self.normalize = clamp, normalize
        self._sums: Tensor | None = None
        self._steps = 0
        self.epoch_losses: dict[str, float] = {}

    def attach(self, learner: Learner) -> None:  # type: ignore[override]
        super().attach(learner)
        if not isinstance(learner.model, StylePicture):
            raise LabError(
                "the stepper 'picture_step' needs a picture as the model",
                where=type(learner.model).__name__,
                hint="architecture='style_picture'",
            )

    def train_step(self, batch: Any) -> Tensor:
        content, target = batch
        output = self.learner.model(content)
        loss: Tensor = self.learner.loss(output, target)
        self._note(output.detach(), target)
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def valid_step(self, batch: Any) -> Evaluation:
        content, target = batch
        return self.evaluation(self.learner.model(content), target)

    def optimizer_step(self) -> None:
        model: Any = self.learner.model
        if self.normalize and model.picture.grad is not None:
            tiny = torch.finfo(model.picture.dtype).tiny
            model.picture.grad.div_(model.picture.grad.abs().mean().clamp(min=tiny))
        super().optimizer_step()
        if self.clamp:
            model.clamp_(self.learner.data)

    def finish_epoch(self) -> None:
        if self._sums is not None:
            self.epoch_losses = dict(zip(LOSSES, (self._sums / self._steps).tolist(), strict=True))
        self._sums, self._steps = None, 0

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "steps": self._steps, "epoch_losses": self.epoch_losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._steps, self.epoch_losses = state["sums"], state["steps"], dict(state["epoch_losses"])

    def _note(self, output: Tensor, target: Tensor) -> None:
        # The loss that each distance adds: the other two are replaced by what is wanted of them.
        alone = [torch.where(row, output, target) for row in torch.eye(3, dtype=torch.bool, device=output.device)]
        losses = torch.stack([self.learner.loss(each, target) for each in alone]).double()
        self._sums = losses if self._sums is None else self._sums + losses
        self._steps += 1
