"""Training step of language models, trained or counted."""

from __future__ import annotations

from typing import Any

import torch
from lab_basics.steppers import Supervised
from torch import Tensor

from lab.training.state import CancelFit
from lab.training.stepper import plain_batch
from lab_lm.outputs import gives_unprojected

__all__ = ["NextToken"]


class NextToken(Supervised):
    """Supervised step; a model that was counted when it was built, such as ``ngram_lm``, is only evaluated.

    Such a model has the attribute ``is_counted``. Its training loss is that of the first batch, and training stops
    after one epoch, whatever the number of epochs. Parameters are those of ``supervised``.
    """

    _first: Tensor | None = None

    def train_step(self, batch: Any) -> Tensor:
        if not getattr(self.learner.model, "is_counted", False):
            return super().train_step(batch)
        if self.learner.position.epoch > 0:
            raise CancelFit
        if self._first is None:
            *inputs, target = plain_batch(batch)
            with torch.no_grad():
                self._first = self.learner.loss(self.learner.model(*inputs), target).detach()
        return self._first

    def train_loss(self, batch: Any) -> Tensor:
        """Return the loss; the output of the model is left to a loss that projects by itself."""
        learner = self.learner
        if (
            self._compiled
            or learner.distributed.world_size > 1
            or not getattr(learner.loss, "accepts_unprojected", False)
            or not gives_unprojected(learner.model)
        ):
            return super().train_loss(batch)
        *inputs, target = plain_batch(batch)
        return self.loss(learner.model(*inputs, leave_output=True), target)
