"""Does a fake task without labels help before a real one with few?

fast.ai 2018, lesson 7: a pretext task for pictures, such as "is this picture augmented beyond reason, or not?" The body
of the base learns digits from scratch with 100 labels. Arms: it first told pictures whose quarters were exchanged from
whole ones, without labels, on the three quarters of the 1,797 digits that train, 100 labeled ones and all ten classes
among them; or it was trained with all labels of other digits, the bar. Each of these trainings is done once, with one
seed, and all seeds of its arm begin from it: the spread over seeds leaves out that of the fake task.
"""

from functools import cache

import torch
from torch import Tensor, nn

from lab import Data, Experiment, Learner, Study, use

KNOWN = ("zero", "one", "two", "three", "four")
ASKED = ("five", "six", "seven", "eight", "nine")


def shuffled(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures (B, C, H, W) whose quarters are in another order."""
    half = images.shape[-1] // 2
    quarters = [images[:, :, top : top + half, left : left + half] for top in (0, half) for left in (0, half)]
    mixed = images.clone()
    for row in range(len(images)):
        order = [0, 1, 2, 3]
        while order == [0, 1, 2, 3]:
            order = torch.randperm(4, generator=generator).tolist()
        for place, quarter in enumerate(order):
            top, left = half * (place // 2), half * (place % 2)
            mixed[row, :, top : top + half, left : left + half] = quarters[quarter][row]
    return mixed


def new_net(classes: int) -> nn.Module:
    """Return a small network of the course."""
    from lab_vision.models import CourseNet

    return CourseNet(1, classes, widths=(16, 32, 64), stem=3, norm="batch")


@cache
def trained_on(task: str) -> dict[str, Tensor]:
    """Return the weights of a network that learned a task, without its last layer."""
    from lab_vision.sources import digits

    data: Data = digits(size=16, held_out=ASKED)
    classes = 5
    if task == "whole or shuffled":
        data, classes = _pretext(digits(size=16)), 2
    learner = Learner(new_net(classes), data, nn.functional.cross_entropy, lr=5e-3, progress=False)
    learner.fit_one_cycle(4)
    return {name: weight for name, weight in learner.model.state_dict().items() if not name.startswith("output")}


def _pretext(data: Data) -> Data:
    from torch.utils.data import TensorDataset

    generator = torch.Generator().manual_seed(0)
    parts = []
    for split in (data.train, data.valid):
        images = split.__getitems__(range(len(split)))[0]
        both = torch.cat([images, shuffled(images, generator)])
        parts.append(TensorDataset(both, torch.arange(2).repeat_interleave(len(images))))
    return Data(*parts)


def net(output_size: int, task: str = "") -> nn.Module:
    """Return a network for the real task, with the body of one that learned another task first, if one is named."""
    model = new_net(output_size)
    if task:
        model.load_state_dict(trained_on(task), strict=False)
    return model


def few_digits(*, count: int = 100) -> Data:
    """Return the digits five to nine, of which only some train."""
    from attrs import evolve
    from lab_vision.sources import digits

    data = digits(size=16, held_out=KNOWN)
    few = type(data.train)(data.train.pixels[:count], data.train.target[:count], data.channel_mean, data.channel_std)
    return evolve(data, train=few, fingerprint=f"{data.fingerprint}-{count}")


base = Experiment(
    dataset=use(few_digits),
    architecture=use(net),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=5e-3,
    batch_size=20,
    valid_batch_size=500,
    epochs=8,
)
study = Study(base, seeds=5, compare="valid_accuracy").swap(
    "architecture.task", {"fake task first": "whole or shuffled", "other digits first": "other digits"}
)
