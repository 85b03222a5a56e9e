"""How does the weight of the style change a picture, and what does the content lose?

Nothing is downloaded: drawn pictures, and features of random convolutions. With your pictures and a network of a run:

    lab run experiments/style_weights.py --set dataset.content=me.jpg --set dataset.style=waves.jpg \\
        --set architecture.body=resnet18 --set architecture.body.weights=runs/.store/KEY
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="two_pictures",
    architecture="style_picture",
    loss=use("style_loss", style_weight=1.0, smooth_weight=0.3),
    optimizer="adam",
    callbacks=["one_cycle", "picture_by_epoch"],
    metrics=["content_distance", "style_distance", "roughness"],
    lr=0.1,
    batch_size=1,
    epochs=6,
)
study = Study(base, seeds=3, compare="valid_style_distance").swap("loss.style_weight", [0.1, 10.0, 100.0])
