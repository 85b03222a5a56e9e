"""Image models: (B, C, H, W) float to logits (B, K)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from lab_basics.checks import check_probabilities, check_sizes, dropout_by_layer
from torch import Tensor, nn

from lab import part
from lab.errors import ParameterError, ShapeError
from lab_vision.layers import Norm, Place, Pool, check_images, conv_norm_act, make_pool
from lab_vision.weights import load_weights

__all__ = ["CourseNet", "LeNet", "SoftmaxRegression", "StackedNet"]


class SoftmaxRegression(nn.Module):
    """Softmax regression on all pixels, or a multilayer perceptron if there are hidden layers.

    Zhang et al., *Dive into Deep Learning*, chapter 4; ``simple_net`` of fast.ai 2018, lesson 7 (3072–40–10).

    Args:
        input_size: channels × height × width.
        output_size: number of classes.
        layers: widths of the hidden layers, each with ReLU.
        dropout: dropout probability after each hidden layer, one for all or one each, as in section 4.6.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        layers: Sequence[int] = (),
        dropout: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        # also under the name of its preset, image_mlp
        check_sizes("architecture 'softmax'", layers=layers)
        dropouts = dropout_by_layer("architecture 'softmax'", dropout, layers)
        blocks: list[nn.Module] = []
        for number, ((before, after), share) in enumerate(zip(pairwise([input_size, *layers]), dropouts, strict=True)):
            with part(f"hidden{number}"):
                blocks += [nn.Linear(before, after), nn.ReLU(), *([nn.Dropout(share)] if share else [])]
        with part("output"):
            blocks.append(nn.Linear([input_size, *layers][-1], output_size))
        self.net = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        if images[0].numel() != self.input_size:
            raise ShapeError(f"pictures have the shape {tuple(images.shape)}, expected (B, {self.input_size})")
        logits: Tensor = self.net(images.flatten(1))
        return logits


class CourseNet(nn.Module):
    """Convolutional networks of fast.ai 2018, lesson 7, "CIFAR10 from scratch", as options of one class.

    A stage is a convolution with stride 2, followed by layers with stride 1, which may be residual; the network
    ends in global pooling and a linear layer. The presets have the course's layers and numbers of parameters
    (155,970 in ``bn_net``). Differs from the course: its networks return log-probabilities, these logits; its batch
    norm is another one (``WrittenBatchNorm``).

    Args:
        channels: number of channels of the pictures.
        output_size: number of classes.
        widths: channels of the stages; with a stem, the first is the stem's.
        stem: kernel size of a first convolution with stride 1, or None.
        plain_stem: make the stem a convolution without ReLU and norm, as in the course.
        stem_padding: padding of the stem; None keeps the size. The course's ``resnet2`` has 1 around a kernel of 7.
        conv_bias: whether convolutions other than a plain stem have a bias; None gives one unless a norm follows at
            once. The course's have none.
        padding: pad convolutions to keep the size.
        further: number of layers with stride 1 in each stage.
        residual: add the input of these layers to their output (He et al. 2016).
        norm: ``none``, ``written`` (written out, as in the course) or ``batch`` (torch's, faster).
        norm_place: norm ``before`` or ``after`` ReLU; the course has it after.
        pool: global pooling: ``max``, ``average`` or ``concat``.
        dropout: dropout probability before the last layer.
        weights: initial weights: a ``.pth`` or ``.safetensors`` file of such a network, or the folder of a finished
            run, ``runs/.store/<key>``; the last layer is skipped if it is for other classes.
    """

    def __init__(
        self,
        channels: int,
        output_size: int,
        *,
        widths: Sequence[int] = (20, 40, 80),
        stem: int | None = None,
        padding: bool = True,
        further: int = 0,
        residual: bool = False,
        norm: Norm = "none",
        norm_place: Place = "after",
        pool: Pool = "max",
        dropout: float = 0.0,
        weights: Path | None = None,
        plain_stem: bool = False,
        stem_padding: int | None = None,
        conv_bias: bool | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        where = "architecture 'course_net'"
        check_sizes(where, widths=widths, stem=stem)
        check_sizes(where, least=0, further=further, stem_padding=stem_padding)
        check_probabilities(where, dropout=dropout)
        if not widths:
            raise ParameterError("widths is empty", where=where, hint="one number of channels for each stage")
        stages: list[nn.Module] = []
        widths = list(widths)
        options = {"norm": norm, "place": norm_place, "bias": conv_bias}
        if stem is not None:
            around = stem // 2 if stem_padding is None else stem_padding
            with part("stem"):
                stages.append(
                    nn.Conv2d(channels, widths[0], stem, padding=around)
                    if plain_stem
                    else conv_norm_act(channels, widths[0], stem, padding=around, **options)  # type: ignore[arg-type]
                )
        else:
            widths = [channels, *widths]
        for number, (before, after) in enumerate(pairwise(widths)):
            with part(f"stage{number}"):
                first = conv_norm_act(before, after, 3, stride=2, padding=int(padding), **options)  # type: ignore[arg-type]
                layers: list[nn.Module] = [first]
            for index in range(further):
                with part(f"stage{number}.{index}"):
                    # A part of its own, so that arms that differ in depth share the weights of the layers before.
                    layer = conv_norm_act(after, after, 3, **options)  # type: ignore[arg-type]
                    layers.append(Residual(layer) if residual else layer)
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.pool, factor = make_pool(pool)
        self.dropout = nn.Dropout(dropout)
        self.width = widths[-1]
        with part("output"):
            self.output = nn.Linear(factor * self.width, output_size)
        if weights is not None:
            load_weights(self, Path(weights), output="output")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.pool(self.features(images))))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return the feature maps (B, width, h, w) of the last stage."""
        check_images(images, self.channels)
        found: Tensor = self.stages(images)
        return found

    def layer_groups(self) -> list[nn.Module]:
        """Return the stages, and the last layer."""
        return [self.stages, self.output]


class Residual(nn.Module):
    """Residual connection around a layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) as in *Dive into Deep Learning*, chapters 7 and 8.

    Args:
        channels, image_size, output_size: facts of the data; at least 12 pixels.
        activation: ``sigmoid`` as in the book, or ``relu``.
        pool: ``average`` as in the book, or ``max``.
        norm: ``batch`` adds batch norm after every layer but the last, as in chapter 8.
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        output_size: int,
        *,
        activation: str = "sigmoid",
        pool: str = "average",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.channels = channels
        make = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}.get(activation)
        shrink = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}.get(pool)
        if make is None or shrink is None:
            raise ParameterError(
                f"activation='{activation}', pool='{pool}'",
                where="architecture 'lenet'",
                hint="sigmoid or relu, average or max",
            )

        def normed(kind: type[nn.Module], width: int) -> list[nn.Module]:
            return [kind(width)] if norm != "none" else []  # type: ignore[call-arg]

        with part("convolutions"):
            self.features = nn.Sequential(
                nn.Conv2d(channels, 6, 5, padding=2), *normed(nn.BatchNorm2d, 6), make(), shrink(2),
                nn.Conv2d(6, 16, 5), *normed(nn.BatchNorm2d, 16), make(), shrink(2), nn.Flatten(),
            )  # fmt: skip
        width = _flat_width(self.features, channels, image_size, 12, "architecture 'lenet'")
        with part("dense"):
            self.dense = nn.Sequential(
                nn.Linear(width, 120), *normed(nn.BatchNorm1d, 120), make(),
                nn.Linear(120, 84), *normed(nn.BatchNorm1d, 84), make(),
            )  # fmt: skip
        with part("output"):
            self.output = nn.Linear(84, output_size)
        _xavier(self)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels, 12)
        logits: Tensor = self.output(self.dense(self.features(images)))
        return logits


class StackedNet(nn.Module):
    """Sequential network that checks its input; base of the classic architectures.

    Args:
        layers: layers from pictures to logits.
        channels: number of channels of the pictures.
        smallest: smallest edge in pixels for which the layers have an output.
    """

    def __init__(self, layers: nn.Sequential, channels: int, smallest: int) -> None:
        super().__init__()
        self.layers, self.channels, self.smallest = layers, channels, smallest

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels, self.smallest)
        logits: Tensor = self.layers(images)
        return logits


def _flat_width(features: nn.Module, channels: int, image_size: tuple[int, int], smallest: int, where: str) -> int:
    """Return the width of the flattened features of one picture; ``smallest`` is the least edge that has features."""
    # In evaluation mode, since batch norm refuses the single picture in training.
    try:
        with torch.no_grad():
            return int(features.eval()(torch.zeros(1, channels, *image_size)).shape[1])
    except RuntimeError as error:
        raise ShapeError(
            f"pictures of {image_size[0]} × {image_size[1]} pixels are too small: at least {smallest} are needed",
            where=where,
            hint=f"enlarge them, if the dataset has a size: --set dataset.size={smallest}",
        ) from error
    finally:
        features.train()


def _xavier(model: nn.Module) -> None:
    """Initialize weights as in the book (Xavier)."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(module.weight)
