"""Augmentation by kornia (extra ``kornia``), drawn from the random stream ``augment``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab import Callback
from lab.errors import LabError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["KorniaAugment"]

_WHERE = "callback 'kornia'"


class KorniaAugment(Callback):
    """Augment every training batch by transforms of kornia, one after the other; validation batches are unchanged.

    ``use("kornia", transforms={"RandomAffine": {"degrees": 15, "p": 1.0}, "RandomGrayscale": {"p": 0.2}})``. Kornia
    draws from torch's global generator, which is seeded around each batch from the run's stream ``augment`` and put
    back, so that runs are reproduced and no other random choice moves.

    Args:
        transforms: class of ``kornia.augmentation`` → its parameters, in the order in which they are applied.
        unit_range: pictures that were scaled by the mean and deviation of their channels are brought back to [0, 1] for
            the transforms, which changes of color expect, and scaled again.
    """

    name = "kornia"
    reads_metrics = False

    def __init__(self, *, transforms: Mapping[str, Any] | None = None, unit_range: bool = True) -> None:
        self.unit_range = unit_range
        chosen = {"RandomHorizontalFlip": {"p": 0.5}} if transforms is None else transforms
        if not chosen:
            raise ParameterError(
                "there are no transforms", where=_WHERE, hint="transforms={'RandomHorizontalFlip': {}}"
            )
        self.transforms = nn.ModuleList(_built(name, params) for name, params in chosen.items())

    def check(self, learner: Learner) -> None:
        images = learner.data.train[0][0]
        if images.dim() not in (3, 4):
            raise LabError(f"{_WHERE} needs pictures (B, C, H, W)", where=f"inputs {tuple(images.shape)}")

    def before_batch(self, learner: Learner) -> None:
        images, *rest = learner.batch
        facts = learner.data.facts()
        scale = None
        if self.unit_range and "channel_mean" in facts and "channel_std" in facts:
            scale = facts["channel_mean"], facts["channel_std"]
        augmented = self.augmented(images, learner.streams.generator("augment"), scale)
        is_named = hasattr(learner.batch, "_fields")
        learner.batch = type(learner.batch)(augmented, *rest) if is_named else (augmented, *rest)

    @torch.no_grad()
    def augmented(self, images: Tensor, generator: torch.Generator, scale: Any = None) -> Tensor:
        """Return a random augmentation of pictures.

        Args:
            images: (B, C, H, W).
            generator: what the seed of this batch is drawn from.
            scale: mean and deviation of the channels by which pictures were scaled; None where they were not.
        """
        mean, deviation = (_channels(each, images) for each in scale) if scale is not None else (0.0, 1.0)
        seed = int(torch.randint(0, 2**62, (), generator=generator))
        found = images * deviation + mean
        # only the generator of the processor, from which kornia draws; a device's own must not be seeded
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for transform in self.transforms:
                found = transform(found)
        return ((found - mean) / deviation).to(images.dtype)


def _channels(values: Any, images: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=images.dtype, device=images.device)[:, None, None]


def _built(name: str, params: Any) -> nn.Module:
    """Return a transform of kornia by its name."""
    try:
        with warnings.catch_warnings():
            # of modules of kornia that are not used here
            warnings.simplefilter("ignore")
            import kornia.augmentation as augmentation
    except ImportError as error:
        raise LabError(f"{_WHERE} needs kornia", where=str(error), hint="pip install 'lab-ablation[kornia]'") from error
    base = augmentation.AugmentationBase2D
    known = [each for each in dir(augmentation) if _is_transform(getattr(augmentation, each), base)]
    if name not in known:
        raise UnknownNameError.among("transform", name, known, where=_WHERE, hint=f"transforms: {', '.join(known)}")
    if not isinstance(params, Mapping):
        raise ParameterError(
            f"{name}: parameters are a dictionary, not {params!r}", where=_WHERE, hint=f"{{'{name}': {{'p': 0.5}}}}"
        )
    try:
        transform: nn.Module = getattr(augmentation, name)(**params)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name}: {error}", where=_WHERE) from error
    return transform


def _is_transform(thing: Any, base: type) -> bool:
    # names of base classes have no Random; what changes nothing by chance is no augmentation
    return isinstance(thing, type) and issubclass(thing, base) and thing.__name__.startswith("Random")
