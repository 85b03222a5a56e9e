"""A body that knows other pictures: train its new head alone, everything at once, or first the one and then the other?

fast.ai 2018, lesson 1. Nothing is downloaded: the body has learned the digits zero to four and is to tell five to
nine apart.
"""

from functools import cache

from torch import nn

from lab import Experiment, Learner, Study, use

SMALL = ("zero", "one", "two", "three", "four")
LARGE = ("five", "six", "seven", "eight", "nine")


@cache
def _trained() -> dict[str, object]:
    from lab_vision.models import CourseNet
    from lab_vision.sources import digits

    data = digits(size=16, held_out=LARGE)
    model = CourseNet(1, 5, widths=(16, 32, 64), stem=3, norm="batch")
    learner = Learner(model, data, nn.functional.cross_entropy, lr=5e-3, progress=False)
    learner.fit_one_cycle(4)
    return model.state_dict()


def body_that_knows_small_digits(channels: int) -> nn.Module:
    """A net of the course, trained on the digits zero to four."""
    from lab_vision.models import CourseNet

    model = CourseNet(channels, 5, widths=(16, 32, 64), stem=3, norm="batch")
    model.load_state_dict(_trained())
    return model


base = Experiment(
    dataset=use("digits", size=16, held_out=SMALL),
    architecture=use("transfer", body=use(body_that_knows_small_digits), hidden=[32]),
    loss="cross_entropy",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["accuracy"],
    lr=2e-3,
    batch_size=64,
    valid_batch_size=500,
    epochs=4,
)
study = Study(base, seeds=5).swap(
    "callbacks",
    {
        "head alone": ["one_cycle", use("freeze", to=-1)],
        "head first": ["one_cycle", use("freeze", to=-1, epochs=2)],
        "one group more each epoch": ["one_cycle", use("freeze", to=-1, epochs=1, gradual=True)],
    },
)
