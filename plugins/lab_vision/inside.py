"""Interpretation of image models: class activation maps, Grad-CAM, confusion matrix, largest losses, filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lab_basics.hooks import Hooks
from torch import Tensor, nn
from torch.nn import functional

from lab.errors import LabError, UnknownNameError

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["PredictedPicture", "cam", "confusion_matrix", "first_filters", "grad_cam", "largest_losses"]


class PredictedPicture(NamedTuple):
    """A picture by its index in the split, with its loss, true class and predicted class."""

    index: int
    loss: float
    target: int
    predicted: int


def cam(learner: Learner, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Class activation maps (Zhou et al. 2016) of a model with global average pooling and one linear layer.

    The map of a class is the sum of the last feature maps, weighted by the weights of that class in the linear layer.
    Differs from the paper: the mean weight of all classes is subtracted, which changes no probability. Differs from
    lesson 7 of fast.ai 2018, which ends its network in a convolution with a map per class and average pooling, and adds
    the maps weighted by the probabilities: that is ``class_maps`` on the architecture ``conv_head``.

    Args:
        learner: a learner trained on pictures; its model has ``features`` and ends in a linear layer on their means.
        images: (B, C, H, W), scaled as in training.
        classes: (B,) class numbers; None takes the predicted ones.

    Returns:
        Maps (B, H, W), between 0 and 1 for each picture.

    Raises:
        LabError: the model ends in other layers; ``grad_cam`` works for all.
    """
    model: Any = learner.model
    output = _last_linear(model)
    if not hasattr(model, "features") or output is None:
        raise _other_end(model)
    with learner.evaluating():
        found, logits = model.features(images.to(learner.device)), model(images.to(learner.device))
        if not _reads_means(output, found, logits):
            raise _other_end(model)
        classes = logits.argmax(-1) if classes is None else classes.to(learner.device)
        # Adding one map to those of all classes leaves the softmax unchanged, so that only differences mean anything.
        weights = output.weight - output.weight.mean(0)
        maps = torch.einsum("bchw,bc->bhw", found, weights[classes])
    return _rescaled(maps, images.shape[2:])


def _reads_means(output: nn.Linear, found: Tensor, logits: Tensor) -> bool:
    """Return True if the logits are the linear layer's output for the mean features."""
    # Computed, not read off the modules: a model may pool or reshape in its forward, where no module shows it.
    if found.dim() != 4 or found.shape[1] != output.in_features:
        return False
    expected = output(found.mean((2, 3)))
    return expected.shape == logits.shape and bool((expected - logits).abs().max() <= 0.01 * logits.abs().max())


def _other_end(model: nn.Module) -> LabError:
    return LabError(
        "CAM needs global average pooling followed by one linear layer",
        where=type(model).__name__,
        hint="use grad_cam",
    )


def grad_cam(learner: Learner, images: Tensor, layer: str, classes: Tensor | None = None) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of any layer with feature maps (B, C, h, w).

    Feature maps are weighted by the mean gradient of the class logit; negative evidence is cut off by ReLU.

    Args:
        learner: a learner trained on pictures.
        images: (B, C, H, W), scaled as in training.
        layer: name of the module, such as ``layer4``.
        classes: (B,) class numbers; None takes the predicted ones.

    Returns:
        Maps (B, H, W), between 0 and 1 for each picture.

    Raises:
        UnknownNameError: there is no such layer.
    """
    modules = dict(learner.model.named_modules())
    if layer not in modules or not layer:
        hint = f"layers: {', '.join(list(modules)[1:9])} …"
        raise UnknownNameError.among("layer", layer, list(modules), hint=hint)
    # Not learner.evaluating(), which disables the gradients that Grad-CAM needs.
    training = learner.model.training
    learner.model.eval()
    try:
        kept: dict[str, Any] = {}
        with torch.enable_grad(), Hooks({layer: modules[layer]}, lambda name, _, output: kept.update({name: output})):
            logits = learner.model(images.detach().clone().to(learner.device).requires_grad_())
            found = kept.get(layer)
            if not isinstance(found, Tensor) or found.dim() != 4:
                raise LabError(f"layer '{layer}' has no feature maps (B, C, h, w)", where=type(modules[layer]).__name__)
            classes = logits.argmax(-1) if classes is None else classes.to(logits.device)
            [gradient] = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), found)
    finally:
        learner.model.train(training)
    maps = (found * gradient.mean((2, 3), keepdim=True)).sum(1).relu().detach()
    return _rescaled(maps, images.shape[2:])


def _rescaled(maps: Tensor, size: Any) -> Tensor:
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    scaled = (maps - low) / (high - low).clamp(min=1e-12)
    return functional.interpolate(scaled[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0].cpu()


def _last_linear(model: nn.Module) -> nn.Linear | None:
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def _predictions(learner: Learner, split: str) -> tuple[Tensor, Tensor]:
    """Return the logits (N, K) and classes (N,) of a split, in its order."""
    examples = learner.data.split(split)
    outputs, targets = [], []
    with learner.evaluating():
        # In the order of the split, not that of a sampler, so that indices identify pictures.
        for rows in torch.arange(len(examples)).split(learner.valid_batch_size):
            *inputs, target = examples.__getitems__(rows)
            outputs.append(learner.model(*(each.to(learner.device) for each in inputs)).float().cpu())
            targets.append(target)
    return torch.cat(outputs), torch.cat(targets)


def largest_losses(learner: Learner, count: int = 9, split: str = "valid") -> list[PredictedPicture]:
    """Return the pictures with the largest losses."""
    logits, target = _predictions(learner, split)
    losses = functional.cross_entropy(logits, target, reduction="none")
    order = losses.argsort(descending=True)[:count]
    predicted = logits.argmax(-1)
    return [PredictedPicture(int(i), float(losses[i]), int(target[i]), int(predicted[i])) for i in order]


def confusion_matrix(learner: Learner, split: str = "valid") -> Tensor:
    """Return the number of pictures (K, K) of class i (row) that were predicted as class j (column)."""
    logits, target = _predictions(learner, split)
    count = logits.shape[1]
    return torch.bincount(target * count + logits.argmax(-1), minlength=count * count).reshape(count, count)


def first_filters(learner: Learner) -> Tensor:
    """Return the weights (F, C, h, w) of the first convolution.

    Raises:
        LabError: the model has no convolution.
    """
    for module in learner.model.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach().cpu()
    raise LabError("this model has no convolution", where=type(learner.model).__name__)
