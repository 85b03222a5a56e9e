"""Which anchors does a single-shot detector need: how many ratios, and sizes like those of the objects?

Every pixel of a feature map has one anchor per size and ratio, and an object is learned by the anchors that overlap it
by at least a half. Nothing is downloaded: drawn shapes of 0.2 to 0.5 of the picture. On blood cells, with LAB_DATA set:

    lab run experiments/anchors.py --set dataset=bccd
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_boxes", train=400, valid=150, objects=[1, 3]),
    architecture=use("small_ssd", widths=[12, 24, 48]),
    loss="detection_loss",
    optimizer="adam",
    callbacks=["one_cycle", "augment_objects"],
    metrics=["map"],
    lr=1e-2,
    batch_size=16,
    valid_batch_size=50,
    epochs=6,
)
study = (
    Study(base, seeds=3, compare="valid_map")
    .swap("architecture.ratios", {"squares only": [1.0], "five ratios": [1.0, 2.0, 0.5, 3.0, 0.33]})
    .swap(
        "architecture.sizes",
        {
            "one size per map": [[0.2], [0.45], [0.7]],
            "too small": [[0.05, 0.07, 0.1], [0.12, 0.15], [0.18, 0.2]],
            "too large": [[0.5, 0.55, 0.6], [0.7, 0.75], [0.85, 0.95]],
        },
    )
)
