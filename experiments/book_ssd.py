"""TinySSD of *Dive into Deep Learning*, 13.7, on one object per picture: how small do its errors become?

The book trains on 1,000 bananas at 256 × 256 for 20 epochs, and reports for these a class error of 3.3e-3 and a box
error of 3.1e-3. Here, one written digit is pasted on a cluttered background, all digits are one class, smaller batches
give as many steps as there, and the errors are those of 200 test pictures, which no setting was chosen on and no digit
of which is in another split: 3.82e-3 ± 0.05e-3 and 2.90e-3 ± 0.01e-3 (three seeds, 8 minutes of processor time).

Network, anchors and loss are the book's. Adam in one cycle replaces its SGD at a constant rate, which is far from done
after so few steps on these pictures, at 5.3e-3 and 5.5e-3 on validation pictures (seed 0):

    lab run experiments/book_ssd.py --set "optimizer=sgd(weight_decay=0.0005)" --set lr=0.2 --set callbacks=[draw_boxes]

In the book's size, about 40 minutes on one core:

    lab run experiments/book_ssd.py --set dataset.size=256 --set dataset.train=1000 --set batch_size=32 --epochs 20
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use(
        "drawn_boxes",
        size=128,
        train=500,
        valid=100,
        test=200,
        things="digits",
        merged=True,
        objects=[1, 1],
        sizes=[0.2, 0.5],
    ),
    architecture="tiny_ssd",
    loss=use("detection_loss", negatives=None, box_loss="l1", per="anchor"),
    optimizer="adam",
    callbacks=["one_cycle", "draw_boxes"],
    metrics=["class_error", "box_error", "map"],
    lr=5e-3,
    batch_size=8,
    valid_batch_size=50,
    epochs=10,
)
study = Study(base, seeds=3, compare="test_box_error")
