"""Most anchors are background: choose the hardest of them, count all, or weigh each by how wrong it is (focal loss)?

Liu et al. 2016 keep three background anchors per anchor with an object; Lin et al. 2017 keep all of them and multiply
the cross-entropy by (1 − p)^γ. Nothing is downloaded: drawn shapes. On blood cells, with LAB_DATA set:

    lab run experiments/focal_or_not.py --set dataset=bccd
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_boxes", train=400, valid=150, objects=[1, 3]),
    architecture=use("small_ssd", widths=[12, 24, 48]),
    loss=use("detection_loss", negatives=3.0),
    optimizer="adam",
    callbacks=["one_cycle", "augment_objects"],
    metrics=["map"],
    lr=1e-2,
    batch_size=16,
    valid_batch_size=50,
    epochs=6,
)
every = {"negatives": None}
study = Study(base, seeds=3, compare="valid_map").swap(
    "loss",
    {
        "all negatives": use("detection_loss", **every),
        "focal, γ = 1": use("detection_loss", focus=1.0, **every),
        "focal, γ = 2": use("detection_loss", focus=2.0, **every),
        "focal, γ = 5": use("detection_loss", focus=5.0, **every),
    },
)
