"""Must a transposed convolution begin as bilinear interpolation, or does it learn to enlarge from random weights?

*Dive into Deep Learning*, 13.11. Nothing is downloaded: drawn shapes. On your own pictures:

    lab run experiments/bilinear_or_random.py --set dataset=voc_masks --set dataset.path=VOC2012
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_masks", size=48, train=400, valid=150, objects=[1, 3], sizes=[0.3, 0.6]),
    architecture=use("fcn", widths=[12, 24, 48]),
    loss=use("cross_entropy", ignore=255),
    optimizer="adam",
    callbacks=["one_cycle", use("augment_objects", zoom=[1.0, 1.0]), "draw_masks"],
    metrics=["mean_iou", "accuracy"],
    lr=1e-2,
    batch_size=8,
    valid_batch_size=50,
    epochs=8,
)
study = Study(base, seeds=5, compare="valid_mean_iou").swap("architecture.upsample", ["random"])
