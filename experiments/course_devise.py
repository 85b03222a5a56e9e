"""CIFAR-10 among words: what does a net that answers with word vectors see, and what of classes it was never shown?

Frome et al. 2013; fast.ai 2018, lesson 11. Needs the corpora cifar10 and wordnet_nouns and GloVe's vectors in LAB_DATA.
The published subset of GloVe has one of the ten names; the others get the mean of the words of their definitions, which
lie close to each other: the loss tells them apart, as cross-entropy would, and pulls pictures to their word, without
which the words found for a picture make no sense. With the course's loss: `--set loss=cos_loss`. Two classes are never
trained: `test_hit` tells them apart, by chance 0.5. Without words, for comparison:

    lab run experiments/course_devise_classes.py
"""

from lab import Experiment, Study, use

glove = use("text_vectors", path="word_vectors/glove.6B.50d.subset.txt")
base = Experiment(
    dataset=use(
        "devise",
        images=use("cifar10"),
        vectors=glove,
        held_out=["deer", "truck"],
        without_vector="definition",
        searched="wordnet",
    ),
    architecture=use("fast_resnet", widths=[24, 48, 96, 192]),
    loss=use("cosine_softmax", pull=3.0),
    optimizer=use("adamw", weight_decay=0.05),
    callbacks=["one_cycle", "augment", "search_page"],
    metrics=["hit", use("hierarchical_precision", k=2)],
    lr=5e-3,
    batch_size=128,
    valid_batch_size=1000,
    epochs=10,
)
study = Study(base, seeds=3, compare="valid_hit")
