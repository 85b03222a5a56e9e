"""Do networks beat linear models of n-grams: TF-IDF with logistic regression, NB-SVM, or a textCNN?

Nothing is downloaded: in half of the generated questions two neighboring words changed places, which bigrams can see.
With LAB_DATA set, there are `--set dataset=movie_reviews` and `--set dataset=sst2`.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="labelled_text",
    architecture="tfidf_logistic",
    stepper="fit_or_step",
    loss="cross_entropy",
    sampler="sortish",
    optimizer="adam",
    metrics=["accuracy"],
    lr=2e-3,
    batch_size=64,
    epochs=4,
)

study = Study(base, seeds=3, compare="valid_accuracy").swap(
    "architecture",
    {
        "NB-SVM": "nb_svm",
        "textCNN": use("text_classifier", encoder=use("text_cnn", filters=50), pooling="max"),
    },
)
