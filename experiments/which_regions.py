"""Where should a second stage look: at an even grid, at regions of one color, or where a network proposes?

Fast R-CNN classifies regions that it is given; Faster R-CNN proposes them itself. The data have, for every picture,
boxes around its regions of similar color, which nothing has learned. Nothing is downloaded: drawn shapes. With your
pictures and regions of your own, from selective search, say; the file is described in docs/boxes-and-masks.md:

    lab run experiments/which_regions.py --set dataset=voc_boxes --set dataset.path=VOC \\
        --set dataset.proposals=boxes.json
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_boxes", train=300, valid=150, objects=[1, 3], proposals="regions"),
    architecture=use("fast_rcnn", widths=[12, 24, 48], proposal_count=24, pool_size=4),
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
    "architecture.proposals", {"regions of one color": "given", "a network": "network"}
)
