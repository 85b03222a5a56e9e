"""The picture as the model: its pixels are the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from lab_basics.hooks import Hooks
from lab_basics.pretraining import copy_body
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError, ShapeError

__all__ = ["RandomBody", "StylePicture", "gram", "roughness"]

Start = Literal["content", "noise"]


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrices (B, C, C) of feature maps (B, C, h, w), divided by C · h · w."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def roughness(images: Tensor) -> Tensor:
    """Return the total variation (B,) of pictures (B, C, H, W): half the mean differences of neighbors, both ways.

    >>> roughness(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
    [0.5]
    """
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().mean((1, 2, 3))
    across = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().mean((1, 2, 3))
    return (down + across) / 2


class RandomBody(nn.Module):
    """Body of convolutions with random weights, ReLU and average pooling, which is not trained.

    The Gram matrices of such networks describe textures nearly as well as those of trained ones (Ustyuzhaninov et al.
    2016, arXiv:1606.00021); contents are told less well.

    Args:
        channels: number of channels of the pictures.
        widths: channels of the stages.
    """

    def __init__(self, channels: int, *, widths: Sequence[int] = (32, 48, 64, 64)) -> None:
        super().__init__()
        stages = []
        for number, (before, after) in enumerate(pairwise([channels, *widths])):
            conv = nn.Conv2d(before, after, 5 if not number else 3, padding="same", padding_mode="reflect")
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
            stages.append(nn.Sequential(nn.AvgPool2d(2) if number else nn.Identity(), conv, nn.ReLU()))
        self.stages = nn.Sequential(*stages)
        self.width = int(widths[-1])

    def features(self, images: Tensor) -> Tensor:
        """Return the feature maps of the last stage."""
        found: Tensor = self.stages(images)
        return found


class StylePicture(nn.Module):
    """Picture whose pixels are trained towards the content of one picture and the style of another.

    Gatys, Ecker & Bethge 2016, as in *Dive into Deep Learning*, 13.12. The content is compared by the mean squared
    difference of features, the style by that of their Gram matrices, averaged over layers; the body of the features is
    frozen. Differs from both: each mean is divided by the mean square of what it should be, so that distances and
    weights do not depend on the body.

    Args:
        channels, content, style: facts of the data.
        body: a model with ``features(images)``, such as a ``resnet18`` or a ``course_net`` with the ``weights`` of an
            earlier run; None is a body of random convolutions. The callback ``body_from`` gives it the weights of
            another run.
        content_layer: path of the module whose output is compared with the content's; empty takes the last.
        style_layers: paths of the modules whose Gram matrices are compared; empty takes the stages of the body.
        start: the picture begins as the ``content``, or as ``noise``.

    Shapes:
        (B, 3, H, W) the content picture -> (B, 3): distances of content and of style, and roughness; the same B times
    """

    def __init__(
        self,
        channels: int,
        content: Tensor,
        style: Tensor,
        *,
        body: Callable[..., nn.Module] | None = None,
        content_layer: str = "",
        style_layers: Sequence[str] = (),
        start: Start = "content",
    ) -> None:
        super().__init__()
        if start not in ("content", "noise"):
            raise ParameterError(
                f"unknown start '{start}'", where="architecture 'style_picture'", hint="content, noise"
            )
        with part("body"):
            # The number of classes does not matter: the last layer is not used.
            made: Any = RandomBody(channels) if body is None else body(channels=channels, output_size=2)
        if not callable(getattr(made, "features", None)):
            raise ParameterError(
                f"{type(made).__name__} cannot be a body",
                where="architecture 'style_picture'",
                hint="it needs features(images)",
            )
        # Without its last layer, which is not used and would differ from that of a net with other classes.
        for name in ("fc", "output"):
            if isinstance(getattr(made, name, None), nn.Linear):
                setattr(made, name, nn.Identity())
        self.body = made.requires_grad_(False).eval()
        self.style_layers = tuple(style_layers) or _stages(made)
        self.content_layer = content_layer or self.style_layers[-1]
        known = dict(made.named_modules())
        # Each once: the content's may be one of the style's.
        unknown = dict.fromkeys(name for name in (*self.style_layers, self.content_layer) if name not in known)
        if unknown:
            named = ", ".join(f"'{name}'" for name in unknown)
            raise ParameterError(
                f"the body has no layer{'s' * (len(unknown) > 1)} {named}",
                where="architecture 'style_picture'",
                hint=f"layers: {', '.join(list(known)[1:25])} …",
            )
        with part("picture"):
            noise = torch.randn(content.shape)
        self.picture = nn.Parameter(content.clone() if start == "content" else noise)
        self.set_targets(content, style)

    @torch.no_grad()
    def set_targets(self, content: Tensor, style: Tensor) -> None:
        """Compute the features and Gram matrices that are wanted, of scaled pictures (1, 3, H, W)."""
        self.register_buffer("content", self._outputs(content)[self.content_layer])
        found = self._outputs(style)
        for number, name in enumerate(self.style_layers):
            self.register_buffer(f"style{number}", gram(found[name]))

    def take_body(self, source: nn.Module, data: Any) -> int:
        """Take the weights of a trained network for the body, and compute the targets of ``data`` anew by them.

        Returns:
            The number of weights.

        Raises:
            LabError: the network lacks weights of the body, or has them in other sizes.
        """
        count, _ = copy_body(self.body, source)
        self.set_targets(data.content.to(self.picture.device), data.style.to(self.picture.device))
        return count

    @torch.no_grad()
    def clamp_(self, data: Any) -> None:
        """Clamp the pixels to those between black and white, by the mean and standard deviation of ``data``."""
        mean, std = (
            torch.tensor(each, device=self.picture.device)[:, None, None]
            for each in (data.channel_mean, data.channel_std)
        )
        self.picture.copy_(torch.minimum(torch.maximum(self.picture, -mean / std), (1 - mean) / std))

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.picture.shape[1:]:
            raise ShapeError(f"pictures {tuple(images.shape)} for one of {tuple(self.picture.shape)}")
        found = self._outputs(self.picture)
        content: Any = self.content
        distance = _relative(found[self.content_layer], content)
        styles = torch.stack(
            [
                _relative(gram(found[name]), getattr(self, f"style{number}"))
                for number, name in enumerate(self.style_layers)
            ]
        )
        row = torch.stack([distance, styles.mean(), roughness(self.picture)[0]])
        return row.expand(len(images), -1)

    def _outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Return the outputs of the layers that are compared."""
        found: dict[str, Tensor] = {}

        def note(name: str, _: Any, output: Any) -> None:
            found[name] = output

        modules = dict(self.body.named_modules())
        with Hooks({name: modules[name] for name in {*self.style_layers, self.content_layer}}, note):
            self.body.features(images)
        return found

    def train(self, mode: bool = True) -> StylePicture:
        """Set the mode of the picture; the body stays in evaluation mode, or batch norm would change it."""
        super().train(mode)
        self.body.eval()
        return self


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared difference, divided by the mean square of ``wanted``."""
    return (found - wanted).square().mean() / wanted.square().mean().clamp(min=torch.finfo(wanted.dtype).tiny)


def _stages(body: nn.Module) -> tuple[str, ...]:
    """Return the paths of a body's stages: those in ``stages``, or ``layer1`` … as in residual networks."""
    names = [name for name, _ in body.named_children()]
    if isinstance(getattr(body, "stages", None), nn.Sequential):
        return tuple(f"stages.{number}" for number in range(len(body.stages)))  # type: ignore[arg-type]
    found = tuple(name for name in names if name.startswith("layer"))
    if not found:
        raise ParameterError(
            "the stages of this body are not known",
            where="architecture 'style_picture'",
            hint=f"style_layers=[…] of: {', '.join(names)}",
        )
    return found
