"""A fully convolutional network as in *Dive into Deep Learning*, 13.11: how well does it tell classes of pixels apart?

The book takes a ResNet-18 that knows ImageNet and Pascal VOC's pictures, and reports a pixel accuracy of 0.85 after
five epochs of SGD. Nothing is downloaded here: drawn shapes, a narrower net without pretraining, and Adam in one cycle,
with which the base reaches 0.81 (seed 0); its mean intersection over union is 0.35, since the body's map of a picture
has 3 × 3 pixels: skip_connections.py has networks that see smaller things. With VOC2012 and `lab data get resnet18`, as
in the book, on a GPU; the book adds up the losses of a batch of 32, so that its rate of 0.001 is one of 0.032 here:

    lab run experiments/book_fcn.py --set dataset=voc_masks --set dataset.path=VOC2012 --set dataset.height=320 \\
        --set dataset.width=480 --set architecture.body.width=64 --set architecture.body.weights=resnet18 \\
        --set "optimizer=sgd(weight_decay=0.001)" --set callbacks=[draw_masks] --set lr=0.032 --set batch_size=32 \\
        --epochs 5 --device cuda
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("drawn_masks", size=96, train=400, valid=100, objects=[1, 3], sizes=[0.3, 0.6]),
    architecture=use("fcn", body=use("resnet18", width=16)),
    loss=use("cross_entropy", ignore=255),
    optimizer="adam",
    callbacks=["one_cycle", "draw_masks"],
    metrics=[use("accuracy", ignore=255), "mean_iou"],
    lr=5e-3,
    batch_size=8,
    valid_batch_size=50,
    epochs=12,
)
study = Study(base, seeds=1, compare="valid_mean_iou").swap("architecture.upsample", ["random"])
