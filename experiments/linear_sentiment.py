"""Which linear model of n-grams is best on 2,000 film reviews, in ten folds (Pang & Lee 2004)?

Needs LAB_DATA. Models fit themselves, so seeds change nothing: the folds are what is averaged over.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("movie_reviews", folds=10, max_tokens=10_000, max_size=200_000),
    architecture=use("ngram_model", features="binary", classifier="svm", longest=1, strength=0.1),
    stepper="fit_or_step",
    loss="cross_entropy",
    metrics=["accuracy"],
    epochs=1,
)

study = (
    Study(base, seeds=1, compare="valid_accuracy")
    .swap(
        "architecture",
        {
            "TF-IDF": use("tfidf_logistic", longest=2),
            "NB-SVM": use("nb_svm", longest=2),
        },
    )
    .across("dataset.fold", list(range(10)))
)
