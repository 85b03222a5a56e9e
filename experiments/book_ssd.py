"""TinySSD as in *Dive into Deep Learning*, 13.7, on one object per picture: how small do its errors become?

The book trains on 1,000 bananas at 256 × 256 and reports a class error of 3.3e-3 and a box error of 3.1e-3; here, one
written digit is pasted on a cluttered background, and all digits are one class. Smaller batches give as many steps as
there. In the book's size, half an hour on one core:

    lab run experiments/book_ssd.py --set dataset.size=256 --set dataset.train=1000 --set batch_size=32 --epochs 20
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use(
        "drawn_boxes", size=128, train=500, valid=100, things="digits", merged=True, objects=[1, 1], sizes=[0.2, 0.5]
    ),
    architecture="tiny_ssd",
    loss=use("detection_loss", negatives=None, box_loss="l1", per="anchor"),
    optimizer=use("sgd", weight_decay=5e-4),
    callbacks=["draw_boxes"],
    metrics=["class_error", "box_error", "map"],
    lr=0.2,
    batch_size=8,
    valid_batch_size=50,
    epochs=10,
)
study = Study(base, seeds=1, compare="valid_box_error")
