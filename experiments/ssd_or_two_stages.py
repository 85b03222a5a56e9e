"""Does a second stage find objects better than a single shot, and is it worth its time?

Both have the same body. Nothing is downloaded: drawn shapes. On blood cells, with LAB_DATA set:

    lab run experiments/ssd_or_two_stages.py --set dataset=bccd
"""

from lab import Experiment, Study, use

BODY = [12, 24, 48]

base = Experiment(
    dataset=use("drawn_boxes", train=600, valid=200, objects=[1, 3]),
    architecture=use("small_ssd", widths=BODY),
    loss="detection_loss",
    optimizer="adam",
    callbacks=["one_cycle", "augment_objects", "draw_boxes"],
    metrics=["map", "map_coco"],
    lr=1e-2,
    batch_size=16,
    valid_batch_size=50,
    epochs=8,
)
study = Study(base, seeds=3, compare="valid_map").swap(
    "architecture", {"two stages": use("faster_rcnn", widths=BODY, proposal_count=32, pool_size=4)}
)
