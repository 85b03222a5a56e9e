"""Does a detector find boxes better if it also learns masks, as Mask R-CNN does?

He et al. 2017 report that a mask head improves the boxes, since both share a body. Nothing is downloaded: drawn shapes,
each with its box and the pixels that can be seen of it.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_boxes", size=48, train=400, valid=120, objects=[1, 3], sizes=[0.3, 0.6], instances=True),
    architecture=use("faster_rcnn", widths=[12, 24, 48], sizes=[0.2, 0.3, 0.45, 0.6], proposal_count=24, pool_size=4),
    loss="detection_loss",
    optimizer="adam",
    callbacks=["one_cycle", "augment_objects", "draw_boxes"],
    metrics=["map", "map_coco"],
    lr=1e-2,
    batch_size=16,
    valid_batch_size=40,
    epochs=8,
)
study = Study(base, seeds=3, compare="valid_map_coco").swap("architecture.mask_size", {"with masks": 14})
