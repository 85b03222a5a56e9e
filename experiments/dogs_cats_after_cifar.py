"""Dogs and cats by a net that has learned CIFAR-10's ten classes before: does it look at the animal?

Nothing published is loaded, but these are not 1,000 pictures alone, as in `course_dogs_cats.py`: 15,000 small ones come
first. All ten classes stay, so that what lies around an animal may still speak for another class than its own. Needs
the corpora cifar10 and dogs_cats in LAB_DATA; KEY stands in the first study's runs.csv:

    lab run experiments/cifar_before_dogs_cats.py
    lab run experiments/dogs_cats_after_cifar.py --set architecture.weights=runs/.store/KEY

Measured after 14 epochs of CIFAR-10 (0.724), seeds 0 to 2: accuracy 0.820 each; the hottest point of a map lies in the
animal's box in 38, 37 and 38 of 40 validation pictures, where area alone gives 25.7.
Both again with one thread, seed 0: 0.730, then 0.795, with variations of each picture 0.820, and 38.
With two classes, `--set dataset.classes=null --set 'lr=[3e-4, 3e-3]'`: 0.795 and 37.
"""

from lab import Experiment, Study, use

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

base = Experiment(
    dataset=use("dogs_cats", size=64, classes=CIFAR),
    architecture=use("fast_resnet", pool="average"),
    loss="cross_entropy",
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=[
        "one_cycle",
        use("augment", pad=6, degrees=10.0, zoom=1.3, anywhere=True, lighting=0.2, cutout=16),
        use("look_inside", tta=True),
    ],
    metrics=["accuracy"],
    lr=[5e-4, 1e-3],
    batch_size=32,
    valid_batch_size=200,
    epochs=16,
)
study = Study(base, seeds=1, compare="valid_accuracy")
