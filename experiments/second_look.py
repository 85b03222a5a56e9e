"""Does it help to zoom into the region that speaks most for the prediction, and to predict again?

Lesson 7 of fast.ai 2018, on class activation maps. A digit stands somewhere in a picture of 4 × 4 times its size; the
network ends in a convolution with a map per class (`conv_head`). `accuracy` is that of the mean of the probabilities of
the picture and of its enlarged region. Base: the picture alone; arms: regions of half of its edge, and of 0.8. The
network is trained on parts of pictures, enlarged up to twice: without, it is far better, and does not know what a
region shows, so that a second look is worse than none (3 seeds: 0.93, then 0.43 and 0.82):

    lab run experiments/second_look.py --set enlarged=false
"""

import torch
from pydantic import PositiveInt
from torch import nn

import lab
from lab import Learner, Study, use


def look(*, share: float = 1.0, enlarged: bool = True, epochs: PositiveInt = 4, run: lab.TaskRun) -> dict[str, float]:
    """Train a network on single digits in larger pictures, and return its accuracies with a second look."""
    from attrs import evolve
    from lab_vision.augment import Augment
    from lab_vision.conv_head import ConvHead
    from lab_vision.data import Images
    from lab_vision.models import CourseNet
    from lab_vision.sources import digit_sets
    from lab_vision.zoom import zoom

    sets = digit_sets(cells=4, most=1, train=1500, valid=1000)
    scale = (sets.channel_mean, sets.channel_std)
    parts = {
        name: Images(getattr(sets, name).pixels, getattr(sets, name).target.argmax(1), *scale)
        for name in ("train", "valid")
    }
    data = evolve(sets, several=False, **parts)
    with run.streams.initializing():
        model = ConvHead(1, 10, body=CourseNet(1, 10, widths=(16, 32), stem=3, norm="batch"))
    learner = Learner(
        model, data, nn.functional.cross_entropy, lr=1e-2, batch_size=64, valid_batch_size=250, seed=run.seed,
        progress=False, optimizer=torch.optim.Adam,
        # A network that never saw an enlarged digit does not know what a region shows.
        callbacks=[Augment(pad=0, flips=False, zoom=2.0, anywhere=True)] if enlarged else [],
    )  # fmt: skip
    learner.fit_one_cycle(epochs)
    return zoom(learner, share=share)


study = Study(use(look, share=1.0), seeds=3, compare="accuracy", higher_is_better=True).swap(
    "share", {"half of the edge": 0.5, "0.8 of the edge": 0.8}
)
