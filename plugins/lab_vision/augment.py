"""Data augmentation of whole batches on their device, drawn from the random stream ``augment``.

Rotation, zoom and shift are one resampling of the batch with torch's own operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from lab import Callback
from lab.errors import LabError, ParameterError
from lab.training.stepper import Supervised

if TYPE_CHECKING:
    from lab import Learner

__all__ = [
    "Augment",
    "CutMix",
    "MixUp",
    "crop_padded",
    "cut_out",
    "flip",
    "jitter_colors",
    "light",
    "resized_crop",
    "rotate_zoom",
    "tta",
]

Border = Literal["reflect", "mean"]


class Augment(Callback):
    """Augment every training batch; validation batches are unchanged.

    Parameters are drawn for each picture. ``tta`` uses the same augmentation.

    Args:
        pad: padding in pixels before a random crop to the original size; 0 for none.
        flips: mirror half of the pictures.
        vertical: turn half of the pictures upside down, too.
        area: least and largest fraction of the picture that a random resized crop shows (Szegedy et al. 2015), such as
            (0.08, 1); None crops nothing.
        ratio: least and largest aspect ratio of that crop, width by height.
        degrees: maximum rotation in either direction.
        zoom: maximum magnification, at least 1.
        anywhere: place the magnified part anywhere, as in random resized crops (Szegedy et al. 2015) without changes of
            the aspect ratio; otherwise it is centered.
        border: fill of missing pixels: ``reflect`` mirrors the picture, ``mean`` is the mean color.
        lighting: maximum change of brightness, in standard deviations of pixels, and relative change of contrast.
        cutout: edge in pixels of a square that is erased (DeVries & Taylor 2017); 0 for none.
        brightness, contrast, saturation: jitter of colors: largest relative change, each from [1 - x, 1 + x].
        hue: largest shift of the hue, as a fraction of the color circle, at most 0.5.
    """

    reads_metrics = False
    _scale: tuple[tuple[float, ...], tuple[float, ...]] | None = None

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
        vertical: bool = False,
        area: Sequence[float] | None = None,
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
    ) -> None:
        if area is not None and (len(area) != 2 or not 0 < area[0] <= area[1] <= 1):
            raise ParameterError(
                f"area={list(area)}", where="callback 'augment'", hint="two fractions of the picture: (0.08, 1)"
            )
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ParameterError(
                f"ratio={list(ratio)}",
                where="callback 'augment'",
                hint="the least and the largest, such as (0.75, 1.33)",
            )
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            raise ParameterError(
                f"brightness={brightness}, contrast={contrast}, saturation={saturation}, hue={hue}",
                where="callback 'augment'",
                hint="at least 0; hue at most 0.5",
            )
        if zoom < 1 or pad < 0 or cutout < 0 or lighting < 0:
            raise ParameterError(
                f"pad={pad}, zoom={zoom}, lighting={lighting}, cutout={cutout}",
                where="callback 'augment'",
                hint="zoom is at least 1, the others at least 0",
            )
        self.pad, self.flips, self.degrees, self.zoom = pad, flips, degrees, zoom
        self.lighting, self.cutout, self.anywhere, self.border = lighting, cutout, anywhere, border
        self.vertical, self.area, self.ratio = vertical, None if area is None else (area[0], area[1]), tuple(ratio)
        self.colors = (brightness, contrast, saturation, hue)

    def check(self, learner: Learner) -> None:
        images = learner.data.train[0][0]
        if images.dim() != 4:
            raise LabError("the callback 'augment' needs pictures (B, C, H, W)", where=f"inputs {tuple(images.shape)}")
        self._scale = _scale_of(learner.data)
        if max(self.colors) and self._scale is None:
            raise LabError(
                "the callback 'augment' changes colors of pictures whose mean and std are known",
                where=type(learner.data).__name__,
                hint="data with channel_mean and channel_std",
            )
        if max(self.colors[2:]) and images.shape[1] != 3:
            raise ParameterError(
                f"saturation and hue of pictures with {images.shape[1]} channels",
                where="callback 'augment'",
                hint="3 channels; brightness and contrast fit any",
            )
        # torch's reflection padding needs more pixels than it mirrors.
        if self.border == "reflect" and self.pad >= min(images.shape[2:]):
            raise ParameterError(
                f"pad={self.pad} is too large for pictures of {tuple(images.shape[2:])}", where="callback 'augment'"
            )

    def before_fit(self, learner: Learner) -> None:
        self._scale = _scale_of(learner.data)

    def before_batch(self, learner: Learner) -> None:
        images, *rest = learner.batch
        generator = learner.streams.generator("augment")
        augmented = self.augmented(images, generator)
        is_named = hasattr(learner.batch, "_fields")
        learner.batch = type(learner.batch)(augmented, *rest) if is_named else (augmented, *rest)

    def augmented(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random augmentation of pictures (B, C, H, W)."""
        if self.area is not None:
            images = resized_crop(images, self.area, (self.ratio[0], self.ratio[1]), generator)
        if self.pad:
            images = crop_padded(images, self.pad, generator, border=self.border)
        if self.flips:
            images = flip(images, generator)
        if self.vertical:
            images = flip(images, generator, dim=-2)
        if self.degrees or self.zoom > 1:
            images = rotate_zoom(images, self.degrees, self.zoom, generator, anywhere=self.anywhere, border=self.border)
        if self.lighting:
            images = light(images, self.lighting, generator)
        if max(self.colors) and self._scale is not None:
            mean, std = (torch.tensor(each, device=images.device)[:, None, None] for each in self._scale)
            images = (jitter_colors(images * std + mean, *self.colors, generator) - mean) / std
        # Last, so that the erased square has the mean color.
        if self.cutout:
            images = cut_out(images, self.cutout, generator)
        return images


def _scale_of(data: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the mean and standard deviation that pictures were scaled with, if the data has them."""
    if hasattr(data, "channel_mean") and hasattr(data, "channel_std"):
        return tuple(data.channel_mean), tuple(data.channel_std)
    return None


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


def flip(images: Tensor, generator: torch.Generator, *, dim: int = -1) -> Tensor:
    """Mirror each picture of (B, C, H, W) with probability one half, upside down along ``dim`` -2."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(dim), images)


def resized_crop(
    images: Tensor, area: tuple[float, float], ratio: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Show a random part of each picture (B, C, H, W) at the picture's size (Szegedy et al. 2015, arXiv:1409.4842).

    Differs from torchvision's: a side that would be longer than the picture is cut to it, instead of drawing again.

    Args:
        images: pictures.
        area: least and largest fraction of the picture; even in between.
        ratio: least and largest width by height, in pixels; even in the logarithm.
        generator: source of all randomness.
    """
    count, _, height, width = images.shape
    draws = torch.rand(4, count, generator=generator)
    share = area[0] + (area[1] - area[0]) * draws[0]
    shape = ratio[0] * (ratio[1] / ratio[0]) ** draws[1]
    across = (share * shape * height / width).sqrt().clamp(max=1)
    down = (share / shape * width / height).sqrt().clamp(max=1)
    shift_x, shift_y = ((2 * draw - 1) * (1 - side) for draw, side in zip(draws[2:], (across, down), strict=True))
    zero = torch.zeros(count)
    matrix = torch.stack([torch.stack([across, zero, shift_x], 1), torch.stack([zero, down, shift_y], 1)], 1)
    grid = functional.affine_grid(matrix.to(images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def jitter_colors(
    images: Tensor, brightness: float, contrast: float, saturation: float, hue: float, generator: torch.Generator
) -> Tensor:
    """Change the colors of each picture (B, C, H, W) between 0 and 1 at random, in the order of the arguments.

    The brightness multiplies pixels; contrast and saturation mix them with the picture's mean gray and with each
    pixel's own gray; the hue turns the color circle (HSV). Values are cut to [0, 1] after each. Differs from
    torchvision's ``ColorJitter``: the order is fixed, and draws differ from picture to picture.
    """
    draws = (2 * torch.rand(4, len(images), 1, 1, 1, generator=generator) - 1).to(images)
    if brightness:
        images = (images * (1 + brightness * draws[0])).clamp(0, 1)
    if contrast:
        gray = _gray(images).mean((1, 2, 3), keepdim=True)
        images = torch.lerp(gray, images, 1 + contrast * draws[1]).clamp(0, 1)
    if saturation:
        images = torch.lerp(_gray(images), images, 1 + saturation * draws[2]).clamp(0, 1)
    if hue:
        images = _turned(images, hue * draws[3].squeeze(1))
    return images


def _gray(images: Tensor) -> Tensor:
    """Return the luminance (B, 1, H, W) of pictures, of ITU-R 601-2; gray ones as they are."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = images.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return (images * weights).sum(1, keepdim=True)


def _turned(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of pictures (B, 3, H, W) by a fraction (B, 1, 1) of the color circle."""
    value, low = images.amax(1), images.amin(1)
    chroma = value - low
    red, green, blue = images.unbind(1)
    # Gray pixels have no hue; any serves, since their chroma is 0.
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    of_red, of_green = ((green - blue) / safe) % 6, (blue - red) / safe + 2
    of_blue = (red - green) / safe + 4
    hue = torch.where(value == red, of_red, torch.where(value == green, of_green, of_blue)) / 6 + shift
    # Each channel is a trapezoid of the hue, at thirds of the circle from each other.
    offsets = images.new_tensor([5.0, 3.0, 1.0])[:, None, None]
    place = (offsets + 6 * hue.unsqueeze(1)) % 6
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(place, 4 - place).clamp(0, 1)


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
    learner: Learner, split: str = "valid", *, count: int = 4, share: float | None = None, seed: int = 0
) -> dict[str, float]:
    """Evaluate with test-time augmentation.

    As in lesson 7 of fast.ai 2018, the probabilities of the original picture and of ``count`` augmentations of it are
    averaged, with equal weights. The augmentation is that of the run's callback ``augment``, or flips and small crops
    if it has none. The loss is the negative logarithm of the mean probability of the true class.

    Args:
        learner: a learner trained on pictures.
        split: the split to evaluate.
        count: number of augmentations of each picture.
        share: weight of all augmentations together, in [0, 1], the original has the rest; None weights all views alike,
            as ``count / (count + 1)`` does.
        seed: seed of the augmentations.

    Returns:
        ``{"loss": …, "accuracy": …, "plain_accuracy": …}``
    """
    if learner.data.facts().get("several"):
        raise LabError("tta needs pictures with one class each", where=type(learner.data).__name__)
    # The same augmentation as in training, for which the model was made invariant.
    augment = next((each for each in learner.callbacks if isinstance(each, Augment)), None)
    augment = augment or Augment(pad=max(1, min(4, learner.data.facts()["image_size"][0] // 8)))
    augment.before_fit(learner)
    generator = torch.Generator().manual_seed(seed)
    weight = count / (count + 1) if share is None or not count else share
    loss = right = plain_right = total = 0.0
    with learner.evaluating():
        for images, target in learner.valid_loader(split):
            images, target = images.to(learner.device), target.to(learner.device)
            # Probabilities, not logits, whose scale may differ between augmentations. In float64: their logarithm is
            # taken again, and a small one must not become 0.
            plain = learner.model(images).double().softmax(-1)
            others = [learner.model(augment.augmented(images, generator)).double().softmax(-1) for _ in range(count)]
            mean = (1 - weight) * plain + (weight * torch.stack(others).mean(0) if others else 0)
            loss += float(functional.nll_loss(mean.clamp(min=1e-300).log(), target, reduction="sum"))
            right += float((mean.argmax(-1) == target).sum())
            plain_right += float((plain.argmax(-1) == target).sum())
            total += len(target)
    return {"loss": loss / total, "accuracy": right / total, "plain_accuracy": plain_right / total}
