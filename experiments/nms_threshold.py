"""How much may two proposals overlap: when does suppression drop objects, and when does it leave duplicates?

Faster R-CNN keeps its best proposals that overlap each other by at most a threshold. In crowded pictures a low one
drops neighbors, and a high one spends the proposals on few objects. `map_soft` judges the same detections after soft
suppression, which lowers the scores of neighbors instead of dropping them. Nothing is downloaded: drawn shapes.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_boxes", size=48, train=300, valid=100, objects=[3, 6], sizes=[0.25, 0.45]),
    architecture=use("faster_rcnn", widths=[12, 24, 48], sizes=[0.2, 0.3, 0.45], proposal_count=24, pool_size=4),
    loss="detection_loss",
    optimizer="adam",
    callbacks=["one_cycle", "augment_objects"],
    metrics=["map", "map_soft"],
    lr=1e-2,
    batch_size=16,
    valid_batch_size=50,
    epochs=6,
)
study = Study(base, seeds=3, compare="valid_map").swap("architecture.overlap", [0.3, 0.5, 0.9])
