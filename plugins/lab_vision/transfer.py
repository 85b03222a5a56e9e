"""Transfer learning: a pretrained body with a new head, and precomputed features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from lab_basics.checks import check_probabilities, check_sizes
from lab_text.cache import content_key, entry
from torch import Tensor, nn

from lab import Data, part
from lab.errors import ParameterError, ShapeError
from lab.training.data import call_with
from lab_vision.data import ImageData
from lab_vision.layers import Pool, make_pool

__all__ = ["FeatureData", "Head", "LogitsHead", "Transfer", "features", "precompute"]

AT_ONCE = 256


class Head(nn.Module):
    """Multilayer perceptron with batch norm and dropout on features: the head of fast.ai 2018.

    For each hidden layer: batch norm, dropout, linear, ReLU; then batch norm, dropout and a linear layer.

    Args:
        feature_size: width of the features.
        output_size: width of the output, such as the number of classes.
        hidden: widths of the hidden layers.
        dropouts: dropout probability before each linear layer, one more than hidden layers; a single number is that of
            the last, and half of it that of the others.

    Shapes:
        (B, feature_size) -> (B, output_size)
    """

    def __init__(
        self,
        feature_size: int,
        output_size: int,
        *,
        hidden: Sequence[int] = (512,),
        dropouts: float | Sequence[float] = 0.5,
    ) -> None:
        super().__init__()
        self.feature_size = feature_size
        check_sizes("architecture 'head'", hidden=hidden)
        check_probabilities("architecture 'head'", dropouts=dropouts)
        widths = [feature_size, *hidden, output_size]
        if isinstance(dropouts, (int, float)):
            shares = [dropouts / 2] * len(hidden) + [float(dropouts)]
        else:
            shares = list(dropouts)
        if len(shares) != len(hidden) + 1:
            raise ParameterError(
                f"{len(shares)} dropouts for {len(hidden) + 1} linear layers",
                where="architecture 'head'",
                hint="one each",
            )
        layers: list[nn.Module] = []
        for number, share in enumerate(shares):
            with part(f"head{number}"):
                layers += [
                    nn.BatchNorm1d(widths[number]),
                    nn.Dropout(share),
                    nn.Linear(widths[number], widths[number + 1]),
                ]
            layers += [nn.ReLU()] if number < len(hidden) else []
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        if features.dim() != 2 or features.shape[1] != self.feature_size:
            raise ShapeError(f"features have the shape {tuple(features.shape)}, expected (B, {self.feature_size})")
        output: Tensor = self.layers(features)
        return output


class Transfer(nn.Module):
    """Body of a model without its last layer, global pooling, and a new head.

    Args:
        channels, output_size: facts of the data.
        body: a model with ``features(images)`` and their ``width``: any ``resnet`` or ``course_net``.
        pool: global pooling of the features: ``concat`` (max and average), ``average`` or ``max``.
        hidden, dropouts: parameters of the head; see ``Head``.

    Shapes:
        (B, C, H, W) -> (B, K)
    """

    def __init__(
        self,
        channels: int,
        output_size: int,
        *,
        body: nn.Module | None = None,
        pool: Pool = "concat",
        hidden: Sequence[int] = (512,),
        dropouts: float | Sequence[float] = 0.5,
    ) -> None:
        super().__init__()
        if body is None:
            from lab_vision.resnet import ResNet

            body = ResNet(channels, output_size)
        width = _width(body)
        self.body = _without_output(body)
        self.pool, factor = make_pool(pool)
        self.head = Head(factor * width, output_size, hidden=hidden, dropouts=dropouts)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.features(images)))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return the feature maps (B, width, h, w) of the body."""
        body: Any = self.body
        found: Tensor = body.features(images)
        return found

    def layer_groups(self) -> list[Any]:
        """Return the layer groups of the body without its last layer, and the head."""
        body: Any = self.body
        groups = body.layer_groups()[:-1] if hasattr(body, "layer_groups") else [self.body]
        return [*groups, self.head]


class LogitsHead(nn.Module):
    """Whole model, its last layer included, with a small network on its logits.

    *Dive into Deep Learning*, section 13.14 of the second Chinese edition, on 120 breeds of dogs: a ResNet-34 with its
    1,000 logits, which stays as it is, then 256 units with ReLU and a linear layer. Freeze the body with
    ``use("freeze", to=-1)``.

    Args:
        output_size: number of classes.
        body: a model of pictures; ``use("resnet34", weights="resnet34", output_size=1000)`` in the book.
        body_size: number of its logits.
        hidden: widths of the hidden layers.

    Shapes:
        (B, C, H, W) -> (B, K)
    """

    def __init__(
        self, output_size: int, *, body: nn.Module, body_size: int = 1000, hidden: Sequence[int] = (256,)
    ) -> None:
        super().__init__()
        self.body = body
        check_sizes("architecture 'logits_head'", body_size=body_size, hidden=hidden)
        widths = [body_size, *hidden]
        with part("head"):
            layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
            self.head = nn.Sequential(*layers, nn.Linear(widths[-1], output_size))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.body(images)
        first: Any = self.head[0]
        if logits.shape[-1] != first.in_features:
            raise ShapeError(f"the body has {logits.shape[-1]} logits, body_size={first.in_features}")
        found: Tensor = self.head(logits)
        return found

    def layer_groups(self) -> list[Any]:
        """Return the layer groups of the body, and the head."""
        body: Any = self.body
        groups = body.layer_groups() if hasattr(body, "layer_groups") else [self.body]
        return [*groups, self.head]


def _width(body: nn.Module) -> int:
    width = getattr(body, "width", None)
    if not callable(getattr(body, "features", None)) or not isinstance(width, int):
        raise ParameterError(
            f"{type(body).__name__} cannot be a body",
            where="architecture 'transfer'",
            hint="it needs features() and width",
        )
    return width


def _without_output(body: nn.Module) -> nn.Module:
    """Replace the last layer of a body, which is not used, by the identity."""
    # Left in place it would get no gradient, and every parameter must be trained or frozen on purpose.
    for name in ("fc", "output"):
        if isinstance(getattr(body, name, None), nn.Linear):
            setattr(body, name, nn.Identity())
    return body


# --- features, computed once ------------------------------------------------------------------------------------------


@attrs.define(eq=False, kw_only=True)
class FeatureData(Data):
    """Precomputed features of pictures.

    Attributes:
        feature_size: width of the features.
        output_size: number of classes.
        class_names: names of the classes by number.
        images: the pictures.
    """

    feature_size: int
    output_size: int
    class_names: tuple[str, ...]
    images: ImageData

    def split_facts(self, split: Any) -> dict[str, Any]:
        """Return ``targets``, the class number of each picture."""
        return {"targets": split.target}


class _Features:
    """Dataset of features (N, F) and classes (N,)."""

    def __init__(self, values: Tensor, target: Tensor) -> None:
        self.values, self.target = values, target

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self.values.index_select(0, chosen), self.target.index_select(0, chosen)


def features(images: Data, *, body: Callable[..., nn.Module], pool: Pool = "concat", body_seed: int = 0) -> FeatureData:
    """Features of all pictures from a frozen body, computed once and cached, for the architecture ``head``.

    Args:
        images: a dataset of pictures.
        body: a model with ``features`` and ``width``, such as ``use("resnet34", weights="resnet34")``.
        pool: global pooling of the features.
        body_seed: seed of the initial weights of a body that loads none.
    """
    if not isinstance(images, ImageData):
        raise ParameterError(f"{type(images).__name__} has no pictures", where="dataset 'features'")
    from lab.training.rng import Streams

    # A fixed seed, not the run's: the features are data, which all runs share.
    with Streams(body_seed).initializing():
        made = call_with(body, images.facts())
    return precompute(made, images, pool=pool)


def precompute(body: nn.Module, images: ImageData, *, pool: Pool = "concat", device: str = "cpu") -> FeatureData:
    """Compute the features of every picture in evaluation mode.

    They are cached by a hash of the body's weights, the pictures and the pooling, so that later runs read them.

    Args:
        body: a model with ``features`` and ``width``; its last layer is not used.
        images: the pictures.
        pool: global pooling of the features.
        device: device of the body.
    """
    pooled, factor = make_pool(pool)
    width = factor * _width(body)
    key = content_key({"kind": "features 1", "body": _digest(body), "images": images.fingerprint, "pool": pool})
    names = [name for name in ("train", "valid", "test") if getattr(images, name) is not None]

    def write(folder: Path) -> None:
        for name in names:
            np.save(folder / f"{name}.npy", _computed(body, pooled, getattr(images, name), device).numpy())

    # The classes of all modules are part of the key, so that a changed forward does not find old features.
    folder = entry(key, write, list(dict.fromkeys(map(type, body.modules()))))
    splits = [
        _Features(torch.from_numpy(np.load(folder / f"{name}.npy")), getattr(images, name).target) for name in names
    ]
    train, valid, test = [*splits, None][:3]
    return FeatureData(
        train=train,
        valid=valid,
        test=test,
        collate=_as_it_is,
        fingerprint=key,
        feature_size=width,
        output_size=images.output_size,
        class_names=images.class_names,
        images=images,
    )


def _computed(body: Any, pool: nn.Module, split: Any, device: str) -> Tensor:
    training = body.training
    body.to(device).eval()
    try:
        with torch.no_grad():
            parts = torch.arange(len(split)).split(AT_ONCE)
            return torch.cat([pool(body.features(split.__getitems__(rows)[0].to(device))).cpu() for rows in parts])
    finally:
        body.train(training)


def _digest(body: nn.Module) -> str:
    # Structure and weights: two bodies may have the same weights and other strides.
    digest = hashlib.sha256(repr(body).encode())
    for name, tensor in body.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _as_it_is(batch: Any) -> Any:
    return batch
