"""Variations of pictures, whole batches at a time, on their device, drawn from the stream ``augment``.

Written here with torch's own operations: a rotation, a zoom and a shift are one sampling of the batch, and there is
nothing that a further library would do faster on batches that are tensors already.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lab import Callback
from lab.errors import LabError, ParameterError
from lab.training.stepper import Supervised

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["Augment", "CutMix", "MixUp", "crop_padded", "cut_out", "flip", "light", "tta", "turn"]

Border = Literal["reflect", "mean"]


class Augment(Callback):
    """Varies every training batch; validation sees pictures as they are.

    Each picture has draws of its own. ``tta`` uses the same variations.

    Args:
        pad: pixels of border, of which a crop of the old size is taken at random; 0 for none.
        flips: whether half of the pictures are mirrored.
        degrees: rotated by up to so many, both ways.
        zoom: enlarged by a factor between 1 and this.
        anywhere: whether what is enlarged may lie anywhere in the picture, as in random resized crops (Szegedy et al.
            2015), here without other proportions; otherwise it lies in the middle.
        border: what stands where pixels are missing: ``reflect`` mirrors the picture, ``mean`` puts the mean colour, in
            which there is nothing to look at.
        lighting: brightness moved by up to so much and contrast multiplied by 1 ± so much, in deviations of pixels.
        cutout: edge in pixels of a square that is taken out (DeVries & Taylor 2017); 0 for none.
    """

    reads_metrics = False

    def __init__(
        self,
        *,
        pad: int = 4,
        flips: bool = True,
        degrees: float = 0.0,
        zoom: float = 1.0,
        lighting: float = 0.0,
        cutout: int = 0,
        anywhere: bool = False,
        border: Border = "reflect",
    ) -> None:
        if zoom < 1 or pad < 0 or cutout < 0 or lighting < 0:
            raise ParameterError(
                f"pad={pad}, zoom={zoom}, lighting={lighting}, cutout={cutout}",
                where="callback 'augment'",
                hint="zoom is at least 1, the others at least 0",
            )
        self.pad, self.flips, self.degrees, self.zoom = pad, flips, degrees, zoom
        self.lighting, self.cutout, self.anywhere, self.border = lighting, cutout, anywhere, border

    def check(self, learner: Learner) -> None:
        images = learner.data.train[0][0]
        if images.dim() != 4:
            raise LabError("there are no pictures (B, C, H, W) to vary", where=f"inputs {tuple(images.shape)}")
        if self.border == "reflect" and self.pad >= min(images.shape[2:]):
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
            images = crop_padded(images, self.pad, generator, border=self.border)
        if self.flips:
            images = flip(images, generator)
        if self.degrees or self.zoom > 1:
            images = turn(images, self.degrees, self.zoom, generator, anywhere=self.anywhere, border=self.border)
        if self.lighting:
            images = light(images, self.lighting, generator)
        if self.cutout:
            images = cut_out(images, self.cutout, generator)
        return images


def crop_padded(images: Tensor, pad: int, generator: torch.Generator, *, border: Border = "reflect") -> Tensor:
    """Pictures with a border of ``pad`` pixels, cut back to their size at random places (B, C, H, W)."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (pad,) * 4, mode="reflect" if border == "reflect" else "constant")
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


def turn(
    images: Tensor,
    degrees: float,
    zoom: float,
    generator: torch.Generator,
    *,
    anywhere: bool = False,
    border: Border = "reflect",
) -> Tensor:
    """Pictures rotated by up to ``degrees`` and enlarged by up to ``zoom`` around the middle or ``anywhere``
    (B, C, H, W)."""
    draws = torch.rand(2, len(images), generator=generator).to(images.device)
    angle = (2 * draws[0] - 1) * math.radians(degrees)
    scale = 1 / (1 + draws[1] * (zoom - 1))
    ratio = images.shape[2] / images.shape[3]
    across = down = torch.zeros_like(angle)
    if anywhere:
        across, down = (2 * torch.rand(2, len(images), generator=generator).to(images.device) - 1) * (1 - scale)
    rows = [
        torch.stack([angle.cos() * scale, -angle.sin() * scale * ratio, across], 1),
        torch.stack([angle.sin() * scale / ratio, angle.cos() * scale, down], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), align_corners=False)
    outside = "reflection" if border == "reflect" else "zeros"
    return functional.grid_sample(images, grid, padding_mode=outside, align_corners=False)


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


class _Mixing(Supervised):
    """Base class: trains on what is made of two pictures each, and on the sum of their losses.

    λ l(y) + (1 − λ) l(y'), where λ of Beta(alpha, alpha) is drawn once per batch, as in both papers' code.
    """

    where = ""

    def __init__(self, *, alpha: float) -> None:
        if alpha < 0:
            raise ParameterError(f"alpha must be at least 0, got {alpha}", where=self.where)
        self.alpha = alpha

    def mixed(self, images: Tensor, others: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
        """Pictures (B, C, H, W) made of two, and the share of the first in them."""
        raise NotImplementedError

    def train_step(self, batch: Any) -> Tensor:
        if not self.alpha:
            return super().train_step(batch)
        images, target = batch
        generator = self.learner.streams.generator("stepper")
        order = torch.randperm(len(images), generator=generator).to(images.device)
        inputs, share = self.mixed(images, images[order], self._share(generator), generator)
        output = self.learner.model(inputs)
        loss = share * self.learner.loss(output, target) + (1 - share) * self.learner.loss(output, target[order])
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def _share(self, generator: torch.Generator) -> float:
        """A draw from Beta(alpha, alpha), which is a ratio of gamma draws."""
        draws = torch._standard_gamma(torch.full((2,), self.alpha, dtype=torch.double), generator=generator)
        return float(draws[0] / draws.sum())


class MixUp(_Mixing):
    """Trains on sums of two pictures each, and of their losses: Zhang et al. 2018, arXiv:1710.09412.

    λ x + (1 - λ) x' with the loss λ l(y) + (1 - λ) l(y'); one λ per batch, from Beta(alpha, alpha), as in the
    paper's code.

    Args:
        alpha: 0 does not mix; the paper takes 0.1 to 0.4 for ImageNet, 1 for CIFAR-10.
    """

    where = "stepper 'mix_up'"

    def __init__(self, *, alpha: float = 0.4) -> None:
        super().__init__(alpha=alpha)

    def mixed(self, images: Tensor, others: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
        return torch.lerp(others, images, share), share


class CutMix(_Mixing):
    """Trains on pictures with a rectangle of another in each, and on the sum of both losses by area: Yun et al. 2019,
    arXiv:1905.04899.

    The rectangle has the picture's proportions and 1 − λ of its area, is centred anywhere and cut at the border; then λ
    is the share that is left of the first picture. One λ and one rectangle per batch, as in the paper's code. The
    paper reports that nets trained so look at more of an object than with mix-up or cut-out.

    Args:
        alpha: 0 does not mix; the paper takes 1, which draws all shares alike.
    """

    where = "stepper 'cut_mix'"

    def __init__(self, *, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)

    def mixed(self, images: Tensor, others: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
        spans = []
        for size, place in zip(images.shape[2:], torch.rand(2, generator=generator).tolist(), strict=True):
            middle, half = int(place * size), int(size * math.sqrt(1 - share)) // 2
            spans.append(slice(max(middle - half, 0), min(middle + half, size)))
        rows, columns = spans
        inputs = images.clone()
        inputs[:, :, rows, columns] = others[:, :, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return inputs, 1 - area / (images.shape[2] * images.shape[3])


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
