"""Do connections between maps of one size help to tell which pixel belongs to what: sums, as in FCN, or U-Net's?

The base enlarges the smallest map alone. Nothing is downloaded: drawn shapes. On your own pictures:

    lab run experiments/skip_connections.py --set dataset=voc_masks --set dataset.path=VOC2012
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_masks", size=48, train=400, valid=150, objects=[1, 3], sizes=[0.3, 0.6]),
    architecture=use("fcn", widths=[12, 24, 48]),
    loss=use("cross_entropy", ignore=255),
    optimizer="adam",
    callbacks=["one_cycle", use("augment_objects", zoom=[1.0, 1.0]), "draw_masks"],
    metrics=["mean_iou"],
    lr=1e-2,
    batch_size=8,
    valid_batch_size=50,
    epochs=10,
)
study = (
    Study(base, seeds=3, compare="valid_mean_iou")
    .swap("architecture.skips", {"sums": True})
    .swap(
        "architecture",
        {
            "U-Net": use("unet", widths=[12, 24, 48, 64, 64]),
            "U-Net without skips": use("unet", widths=[12, 24, 48, 64, 64], skips=False),
        },
    )
)
