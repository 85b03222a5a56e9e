"""Variations of pictures, whole batches at a time, on their device, drawn from the stream ``augment``.

Written here with torch's own operations: a rotation, a zoom and a shift are one sampling of the batch, and there is
nothing that a further library would do faster on batches that are tensors already.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from lab import Callback
from lab.errors import LabError, ParameterError
from lab.training.stepper import Supervised

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["Augment", "MixUp", "crop_padded", "cut_out", "flip", "light", "tta", "turn"]


class Augment(Callback):
    """Varies every training batch; validation sees pictures as they are.

    Each picture has draws of its own. ``tta`` uses the same variations.

    Args:
        pad: pixels of reflected border, of which a crop of the old size is taken at random; 0 for none.
        flips: whether half of the pictures are mirrored.
        degrees: rotated by up to so many, both ways.
        zoom: enlarged by a factor between 1 and this.
        lighting: brightness moved by up to so much and contrast multiplied by 1 ± so much, in deviations of pixels.
        cutout: edge in pixels of a square that is taken out (DeVries & Taylor 2017); 0 for none.
    """

    def __init__(
        self,
        *,
        pad: int = 4,
        flips: bool = True,
        degrees: float = 0.0,
        zoom: float = 1.0,
        lighting: float = 0.0,
        cutout: int = 0,
    ) -> None:
        if zoom < 1 or pad < 0 or cutout < 0 or lighting < 0:
            raise ParameterError(
                f"pad={pad}, zoom={zoom}, lighting={lighting}, cutout={cutout}",
                where="callback 'augment'",
                hint="zoom is at least 1, the others at least 0",
            )
        self.pad, self.flips, self.degrees, self.zoom = pad, flips, degrees, zoom
        self.lighting, self.cutout = lighting, cutout

    def check(self, learner: Learner) -> None:
        images = learner.data.train[0][0]
        if images.dim() != 4:
            raise LabError("there are no pictures (B, C, H, W) to vary", where=f"inputs {tuple(images.shape)}")
        if self.pad >= min(images.shape[2:]):
            raise ParameterError(
                f"pad={self.pad} is too wide for pictures of {tuple(images.shape[2:])}", where="callback 'augment'"
            )

    def before_batch(self, learner: Learner) -> None:
        images, *rest = learner.batch
        generator = learner.streams.generator("augment")
        varied = self.varied(images, generator)
        learner.batch = type(learner.batch)(varied, *rest) if hasattr(learner.batch, "_fields") else (varied, *rest)

    def varied(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A variation of pictures (B, C, H, W)."""
        if self.pad:
            images = crop_padded(images, self.pad, generator)
        if self.flips:
            images = flip(images, generator)
        if self.degrees or self.zoom > 1:
            images = turn(images, self.degrees, self.zoom, generator)
        if self.lighting:
            images = light(images, self.lighting, generator)
        if self.cutout:
            images = cut_out(images, self.cutout, generator)
        return images


def crop_padded(images: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """Pictures with a reflected border, cut back to their size at random places (B, C, H, W)."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (pad,) * 4, mode="reflect")
    device = images.device
    down, across = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(device)
    rows = (down[:, None] + torch.arange(height, device=device))[:, None, :, None]
    columns = (across[:, None] + torch.arange(width, device=device))[:, None, None, :]
    which = torch.arange(count, device=device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=device)[None, :, None, None]
    return padded[which, channels, rows, columns]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures mirrored (B, C, H, W)."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def turn(images: Tensor, degrees: float, zoom: float, generator: torch.Generator) -> Tensor:
    """Pictures rotated by up to ``degrees`` and enlarged by up to ``zoom``, borders reflected (B, C, H, W)."""
    draws = torch.rand(2, len(images), generator=generator).to(images.device)
    angle = (2 * draws[0] - 1) * math.radians(degrees)
    scale = 1 / (1 + draws[1] * (zoom - 1))
    ratio = images.shape[2] / images.shape[3]
    zero = torch.zeros_like(angle)
    rows = [
        torch.stack([angle.cos() * scale, -angle.sin() * scale * ratio, zero], 1),
        torch.stack([angle.sin() * scale / ratio, angle.cos() * scale, zero], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def light(images: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Pictures with brightness and contrast changed (B, C, H, W)."""
    draws = (2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1).to(images)
    return images * (1 + amount * draws[0]) + amount * draws[1]


def cut_out(images: Tensor, edge: int, generator: torch.Generator) -> Tensor:
    """Pictures with a square set to their mean, 0; it may reach over the border (B, C, H, W)."""
    count, _, height, width = images.shape
    device = images.device
    centre = torch.rand(2, count, generator=generator).to(device) * torch.tensor([[height], [width]], device=device)
    rows = (torch.arange(height, device=device) - centre[0, :, None]).abs() < edge / 2
    columns = (torch.arange(width, device=device) - centre[1, :, None]).abs() < edge / 2
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


class MixUp(Supervised):
    """Trains on sums of two pictures each, and of their losses: Zhang et al. 2018, arXiv:1710.09412.

    λ x + (1 - λ) x' with the loss λ l(y) + (1 - λ) l(y'); one λ per batch, from Beta(alpha, alpha), as in the
    paper's code.

    Args:
        alpha: 0 does not mix; the paper takes 0.1 to 0.4 for ImageNet, 1 for CIFAR-10.
    """

    def __init__(self, *, alpha: float = 0.4) -> None:
        if alpha < 0:
            raise ParameterError(f"alpha must be at least 0, got {alpha}", where="stepper 'mix_up'")
        self.alpha = alpha

    def train_step(self, batch: Any) -> Tensor:
        if not self.alpha:
            return super().train_step(batch)
        images, target = batch
        generator = self.learner.streams.generator("stepper")
        order = torch.randperm(len(images), generator=generator).to(images.device)
        share = self._share(generator)
        output = self.learner.model(torch.lerp(images[order], images, share))
        loss = share * self.learner.loss(output, target) + (1 - share) * self.learner.loss(output, target[order])
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def _share(self, generator: torch.Generator) -> float:
        """A draw from Beta(alpha, alpha), which is a ratio of gamma draws."""
        draws = torch._standard_gamma(torch.full((2,), self.alpha, dtype=torch.double), generator=generator)
        return float(draws[0] / draws.sum())


def tta(
    learner: Learner, split: str = "valid", *, count: int = 4, share: float = 0.5, seed: int = 0
) -> dict[str, float]:
    """Test-time augmentation: loss and accuracy of the mean over variations of each picture.

    fast.ai 2018: the log-probabilities of the picture as it is, and the mean of those of ``count`` variations, are
    averaged. Variations are those of the run's callback ``augment``, or flips and small crops where it has none.

    Args:
        learner: trained on pictures.
        split: which pictures.
        count: variations of each.
        share: weight of the variations against the picture as it is, in [0, 1].
        seed: of the variations.

    Returns:
        ``{"loss": …, "accuracy": …, "plain_accuracy": …}``
    """
    augment = next((each for each in learner.callbacks if isinstance(each, Augment)), None)
    augment = augment or Augment(pad=max(1, min(4, learner.data.facts()["image_size"][0] // 8)))
    generator = torch.Generator().manual_seed(seed)
    loss = right = plain_right = total = 0.0
    with learner.evaluating():
        for images, target in learner.valid_loader(split):
            images, target = images.to(learner.device), target.to(learner.device)
            plain = learner.model(images).log_softmax(-1)
            varied = [learner.model(augment.varied(images, generator)).log_softmax(-1) for _ in range(count)]
            mean = plain if not varied else (1 - share) * plain + share * torch.stack(varied).mean(0)
            loss += float(functional.cross_entropy(mean, target, reduction="sum"))
            right += float((mean.argmax(-1) == target).sum())
            plain_right += float((plain.argmax(-1) == target).sum())
            total += len(target)
    return {"loss": loss / total, "accuracy": right / total, "plain_accuracy": plain_right / total}
