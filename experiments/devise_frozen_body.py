"""Does an image model that answers with word vectors need a body of its own, or is a head on a frozen one enough?

DeViSE as Frome et al. 2013 and the translation lesson of fast.ai 2018 have it: a body that was trained to classify
stays as it is, and a head (1,024 hidden units, dropout 0.2) learns to give the word vector of the class, from features
that are computed once; no mean is subtracted from the vectors. The lesson's body is a ResNet-50 trained on ImageNet.
Nothing is downloaded here: the body learned five of scikit-learn's ten digits by cross-entropy. Arm: the same body with
the weights that it began with. With the lesson's body, its weights and the other data in LAB_DATA:

    lab run experiments/devise_frozen_body.py --arms base --set dataset.images.images=dogs_cats \\
        --set 'dataset.images.body=resnet50(weights="resnet50")' --set dataset.held_out=0
"""

from functools import cache

from torch import Tensor, nn

from lab import Experiment, Learner, Study, use

OTHERS = ("one", "three", "five", "seven", "nine")


def new_body(channels: int) -> nn.Module:
    """Return a network of the course as it begins."""
    from lab_vision.models import CourseNet

    return CourseNet(channels, 5, widths=(16, 32, 64), stem=3, norm="batch")


@cache
def trained_weights() -> dict[str, Tensor]:
    """Return the weights of a network that learned the even digits."""
    from lab_vision.sources import digits

    learner = Learner(
        new_body(1), digits(size=16, held_out=OTHERS), nn.functional.cross_entropy, lr=5e-3, progress=False
    )
    learner.fit_one_cycle(4)
    return dict(learner.model.state_dict())


def trained_body(channels: int) -> nn.Module:
    """Return a network that tells the even digits apart."""
    body = new_body(channels)
    body.load_state_dict(trained_weights())
    return body


base = Experiment(
    dataset=use(
        "devise",
        images=use("features", images=use("digits", size=16), body=use(trained_body)),
        held_out=2,
        center=None,
    ),
    architecture=use("head", hidden=[1024], dropouts=0.2),
    loss="cos_loss",
    optimizer="adamw",
    callbacks=["one_cycle"],
    metrics=["hit"],
    lr=5e-3,
    batch_size=64,
    valid_batch_size=500,
    epochs=6,
)
study = Study(base, seeds=3, compare="valid_hit").swap("dataset.images.body", {"untrained body": use(new_body)})
