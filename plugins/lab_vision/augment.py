"""Data augmentation of whole batches on their device, drawn from the random stream ``augment``.

Rotation, zoom and shift are one resampling of the batch with torch's own operations.
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

__all__ = ["Augment", "CutMix", "MixUp", "crop_padded", "cut_out", "flip", "light", "rotate_zoom", "tta"]

Border = Literal["reflect", "mean"]


class Augment(Callback):
    """Augment every training batch; validation batches are unchanged.

    Parameters are drawn for each picture. ``tta`` uses the same augmentation.

    Args:
        pad: padding in pixels before a random crop to the original size; 0 for none.
        flips: mirror half of the pictures.
        degrees: maximum rotation in either direction.
        zoom: maximum magnification, at least 1.
        anywhere: place the magnified part anywhere, as in random resized crops (Szegedy et al. 2015) without changes of
            the aspect ratio; otherwise it is centered.
        border: fill of missing pixels: ``reflect`` mirrors the picture, ``mean`` is the mean color.
        lighting: maximum change of brightness, in standard deviations of pixels, and relative change of contrast.
        cutout: edge in pixels of a square that is erased (DeVries & Taylor 2017); 0 for none.
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
            raise LabError("the callback 'augment' needs pictures (B, C, H, W)", where=f"inputs {tuple(images.shape)}")
        # torch's reflection padding needs more pixels than it mirrors.
        if self.border == "reflect" and self.pad >= min(images.shape[2:]):
            raise ParameterError(
                f"pad={self.pad} is too large for pictures of {tuple(images.shape[2:])}", where="callback 'augment'"
            )

    def before_batch(self, learner: Learner) -> None:
        images, *rest = learner.batch
        generator = learner.streams.generator("augment")
        augmented = self.augmented(images, generator)
        is_named = hasattr(learner.batch, "_fields")
        learner.batch = type(learner.batch)(augmented, *rest) if is_named else (augmented, *rest)

    def augmented(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random augmentation of pictures (B, C, H, W)."""
        if self.pad:
            images = crop_padded(images, self.pad, generator, border=self.border)
        if self.flips:
            images = flip(images, generator)
        if self.degrees or self.zoom > 1:
            images = rotate_zoom(images, self.degrees, self.zoom, generator, anywhere=self.anywhere, border=self.border)
        if self.lighting:
            images = light(images, self.lighting, generator)
        if self.cutout:
            images = cut_out(images, self.cutout, generator)
        return images


def crop_padded(images: Tensor, pad: int, generator: torch.Generator, *, border: Border = "reflect") -> Tensor:
    """Pad pictures (B, C, H, W) by ``pad`` pixels and crop each to its size at a random position."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (pad,) * 4, mode="reflect" if border == "reflect" else "constant")
    device = images.device
    down, across = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(device)
    # One gather with indices that differ per picture replaces a loop over the batch.
    rows = (down[:, None] + torch.arange(height, device=device))[:, None, :, None]
    columns = (across[:, None] + torch.arange(width, device=device))[:, None, None, :]
    which = torch.arange(count, device=device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=device)[None, :, None, None]
    return padded[which, channels, rows, columns]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture of (B, C, H, W) with probability one half."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def rotate_zoom(
    images: Tensor,
    degrees: float,
    zoom: float,
    generator: torch.Generator,
    *,
    anywhere: bool = False,
    border: Border = "reflect",
) -> Tensor:
    """Rotate pictures (B, C, H, W) by up to ``degrees`` and magnify them by up to ``zoom``."""
    draws = torch.rand(2, len(images), generator=generator).to(images.device)
    angle = (2 * draws[0] - 1) * math.radians(degrees)
    scale = 1 / (1 + draws[1] * (zoom - 1))
    # affine_grid's coordinates run from -1 to 1 along both edges, so rotating them shears a picture that is not square.
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
    """Change the brightness and contrast of pictures (B, C, H, W)."""
    draws = (2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1).to(images)
    return images * (1 + amount * draws[0]) + amount * draws[1]


def cut_out(images: Tensor, edge: int, generator: torch.Generator) -> Tensor:
    """Set a random square of each picture (B, C, H, W) to 0, the mean of scaled pixels; it may cross the border."""
    count, _, height, width = images.shape
    device = images.device
    center = torch.rand(2, count, generator=generator).to(device) * torch.tensor([[height], [width]], device=device)
    rows = (torch.arange(height, device=device) - center[0, :, None]).abs() < edge / 2
    columns = (torch.arange(width, device=device) - center[1, :, None]).abs() < edge / 2
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


class _Mixing(Supervised):
    """Base class: train on mixtures of two pictures with the weighted sum of their losses.

    The loss is λ l(y) + (1 − λ) l(y'); λ from Beta(alpha, alpha) is drawn once per batch, as in both papers' code.
    """

    where = ""

    def __init__(self, *, alpha: float) -> None:
        if alpha < 0:
            raise ParameterError(f"alpha must be at least 0, got {alpha}", where=self.where)
        self.alpha = alpha

    def mixed(self, images: Tensor, others: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
        """Return mixed pictures (B, C, H, W), and the fraction λ of the first."""
        raise NotImplementedError

    def train_step(self, batch: Any) -> Tensor:
        if not self.alpha:
            return super().train_step(batch)
        images, target = batch
        generator = self.learner.streams.generator("stepper")
        order = torch.randperm(len(images), generator=generator).to(images.device)
        inputs, share = self.mixed(images, images[order], self._share(generator), generator)
        output = self.learner.model(inputs)
        # Two losses instead of mixed one-hot targets, so that any loss for class numbers can be used.
        loss = share * self.learner.loss(output, target) + (1 - share) * self.learner.loss(output, target[order])
        self.backward(loss)
        self.optimizer_step()
        return loss.detach()

    def _share(self, generator: torch.Generator) -> float:
        """Draw from Beta(alpha, alpha) as a ratio of gamma variates."""
        # torch.distributions.Beta takes no generator and would draw from the global one.
        draws = torch._standard_gamma(torch.full((2,), self.alpha, dtype=torch.double), generator=generator)
        return float(draws[0] / draws.sum())


class MixUp(_Mixing):
    """Mixup: train on convex combinations of two pictures and of their losses (Zhang et al. 2018, arXiv:1710.09412).

    The input is λ x + (1 - λ) x', the loss λ l(y) + (1 - λ) l(y'), with one λ per batch from Beta(alpha, alpha), as in
    the paper's code.

    Args:
        alpha: parameter of the beta distribution; 0 does not mix. The paper uses 0.1 to 0.4 for ImageNet, 1 for
            CIFAR-10.
    """

    where = "stepper 'mix_up'"

    def __init__(self, *, alpha: float = 0.4) -> None:
        super().__init__(alpha=alpha)

    def mixed(self, images: Tensor, others: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
        return torch.lerp(others, images, share), share


class CutMix(_Mixing):
    """CutMix: paste a rectangle of another picture and weight both losses by area (Yun et al. 2019, arXiv:1905.04899).

    The rectangle has the aspect ratio of the picture and 1 − λ of its area, is centered anywhere and clipped at the
    border; λ then becomes the fraction that is left of the first picture. One λ and one rectangle per batch, as in the
    paper's code. The paper reports that the network attends to more of an object than with mixup or cutout.

    Args:
        alpha: parameter of the beta distribution; 0 does not mix. The paper uses 1, the uniform distribution.
    """

    where = "stepper 'cut_mix'"

    def __init__(self, *, alpha: float = 1.0) -> None:
        super().__init__(alpha=alpha)

    def mixed(self, images: Tensor, others: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, float]:
        spans = []
        for size, position in zip(images.shape[2:], torch.rand(2, generator=generator).tolist(), strict=True):
            middle, half = int(position * size), int(size * math.sqrt(1 - share)) // 2
            spans.append(slice(max(middle - half, 0), min(middle + half, size)))
        rows, columns = spans
        inputs = images.clone()
        inputs[:, :, rows, columns] = others[:, :, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return inputs, 1 - area / (images.shape[2] * images.shape[3])


def tta(
    learner: Learner, split: str = "valid", *, count: int = 4, share: float = 0.5, seed: int = 0
) -> dict[str, float]:
    """Evaluate with test-time augmentation.

    As in fast.ai 2018, the log-probabilities of the original picture and the mean of those of ``count`` augmentations
    are averaged. The augmentation is that of the run's callback ``augment``, or flips and small crops if it has none.

    Args:
        learner: a learner trained on pictures.
        split: the split to evaluate.
        count: number of augmentations of each picture.
        share: weight of the augmentations against the original, in [0, 1].
        seed: seed of the augmentations.

    Returns:
        ``{"loss": …, "accuracy": …, "plain_accuracy": …}``
    """
    # The same augmentation as in training, for which the model was made invariant.
    augment = next((each for each in learner.callbacks if isinstance(each, Augment)), None)
    augment = augment or Augment(pad=max(1, min(4, learner.data.facts()["image_size"][0] // 8)))
    generator = torch.Generator().manual_seed(seed)
    loss = right = plain_right = total = 0.0
    with learner.evaluating():
        for images, target in learner.valid_loader(split):
            images, target = images.to(learner.device), target.to(learner.device)
            # Log-probabilities are averaged, not logits, whose scale may differ between augmentations.
            plain = learner.model(images).log_softmax(-1)
            others = [learner.model(augment.augmented(images, generator)).log_softmax(-1) for _ in range(count)]
            mean = plain if not others else (1 - share) * plain + share * torch.stack(others).mean(0)
            loss += float(functional.cross_entropy(mean, target, reduction="sum"))
            right += float((mean.argmax(-1) == target).sum())
            plain_right += float((plain.argmax(-1) == target).sum())
            total += len(target)
    return {"loss": loss / total, "accuracy": right / total, "plain_accuracy": plain_right / total}
