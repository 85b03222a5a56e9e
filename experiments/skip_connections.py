"""Do connections between maps of one size help to tell which pixel belongs to what: sums, as in FCN, or U-Net's?

The base enlarges the smallest map alone. Nothing is downloaded: drawn shapes. On your own pictures:

    lab run experiments/skip_connections.py --set dataset=voc_masks --set dataset.path=VOC2012
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_masks", train=400, valid=150),
    architecture=use("fcn", widths=[8, 16, 32]),
    loss=use("cross_entropy", ignore=255),
    optimizer="adam",
    callbacks=["one_cycle", "augment_objects", "draw_masks"],
    metrics=["mean_iou"],
    lr=1e-2,
    batch_size=16,
    valid_batch_size=50,
    epochs=8,
)
study = (
    Study(base, seeds=3, compare="valid_mean_iou")
    .swap("architecture.skips", {"sums": True})
    .swap(
        "architecture",
        {
            "U-Net": use("unet", widths=[8, 16, 24, 32]),
            "U-Net without skips": use("unet", widths=[8, 16, 24, 32], skips=False),
        },
    )
)
