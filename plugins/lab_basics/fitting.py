"""Stepper for models that fit themselves, such as those of scikit-learn, beside those trained step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.training.state import CancelFit
from lab.training.stepper import Supervised

__all__ = ["FitOrStep"]


class FitOrStep(Supervised):
    """Supervised steps, or one call of ``model.fit`` on a whole epoch for models that have it.

    Such a model implements ``fit(*inputs, target, seed=…)`` and ``is_fitted``. It is fitted at the end of the first
    epoch, whose training loss is that of the fitted model; then training stops, whatever the number of epochs. Inputs
    of different lengths are filled up behind with the model's ``pad_id``.
    """

    def train_step(self, batch: Any) -> Tensor:
        model: Any = self.learner.model
        if not _fits_itself(model):
            return super().train_step(batch)
        # A second epoch would fit the same rows again.
        if model.is_fitted:
            raise CancelFit
        # Collected from batches, so that the sampler and its seed decide the order of the rows as for networks.
        self._gathered = [*getattr(self, "_gathered", ()), batch]
        *inputs, target = batch
        with torch.no_grad():
            return self.learner.loss(model(*inputs), target).detach()

    def state_dict(self) -> dict[str, Any]:
        return {"gathered": [tuple(batch) for batch in getattr(self, "_gathered", ())]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._gathered = state.get("gathered", [])

    def finish_epoch(self) -> None:
        model: Any = self.learner.model
        if not _fits_itself(model) or model.is_fitted:
            return
        padding = getattr(model, "pad_id", 0)
        *inputs, target = (_joined(part, padding) for part in zip(*self._gathered, strict=True))
        self._gathered = []
        model.fit(*inputs, target, seed=self.learner.streams.seed("stepper") % 2**31)
        with torch.no_grad():
            loss = self.learner.loss(model(*inputs), target)
        # The batches were seen by a model that was not fitted yet; their losses mean nothing.
        self.learner.losses.clear()
        self.learner.losses.add(loss)


def _fits_itself(model: nn.Module) -> bool:
    return callable(getattr(model, "fit", None)) and hasattr(model, "is_fitted")


def _joined(parts: Sequence[Tensor], padding: int) -> Tensor:
    """Return batches (B, …) or (B, T) as one tensor, filled up to the greatest T."""
    if parts[0].dim() < 2 or len({part.shape[1] for part in parts}) == 1:
        return torch.cat(list(parts))
    longest = max(part.shape[1] for part in parts)
    return torch.cat([functional.pad(part, (0, longest - part.shape[1]), value=padding) for part in parts])
