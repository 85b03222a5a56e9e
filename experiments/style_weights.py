"""How does the weight of the style change a picture, and what does the content lose?

Features are those of a small net that was trained to tell drawn shapes apart, once for each seed: the first run that
needs it trains it, the others find it. Nothing is downloaded. With your pictures, and a network of another run:

    lab run experiments/style_weights.py --set dataset.content=me.jpg --set dataset.style=waves.jpg \\
        --set callbacks=[one_cycle,picture_by_epoch] \\
        --set architecture.body=resnet18 --set architecture.body.weights=runs/.store/KEY

With features of random convolutions:

    lab run experiments/style_weights.py --set architecture.body=None --set callbacks=[one_cycle,picture_by_epoch]
"""

from lab import Experiment, Study, use

NET = use("course_net", widths=[16, 32, 48, 64], stem=5, norm="batch", norm_place="before")


def classifier() -> Experiment:
    """Return the training of the net, which runs once for each seed before the first arm that needs it."""
    return Experiment(
        dataset=use("drawn_classes", train=2000),
        architecture=NET,
        loss="cross_entropy",
        optimizer="adam",
        callbacks=["one_cycle"],
        metrics=["accuracy"],
        lr=1e-2,
        batch_size=64,
        epochs=5,
    )


base = Experiment(
    dataset="two_pictures",
    architecture=use("style_picture", body=NET),
    loss=use("style_loss", style_weight=1.0, smooth_weight=0.3),
    stepper="picture_step",
    optimizer="adam",
    callbacks=["one_cycle", use("body_from", pretraining=classifier), "picture_by_epoch"],
    metrics=["content_distance", "style_distance", "roughness"],
    lr=0.1,
    batch_size=1,
    epochs=6,
)
study = Study(base, seeds=3, compare="valid_style_distance").swap("loss.style_weight", [0.1, 10.0, 100.0])
