"""Does BERT need its recipe of masks: 15 % of the tokens, of which 80 % are hidden, 10 % replaced, and 10 % left?

Every arm changes one part of the recipe in training; all validate on masks in the recipe's proportions. Nothing is
downloaded: the text is Python's own help. The part of WikiText-2 that is there, with LAB_DATA set:

    lab run experiments/mlm_masking.py --set dataset.corpus=wikitext2
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("masked_pairs", corpus="embedded"),
    architecture=use("bert", width=96, heads=2, feed_forward=192),
    loss="bert_loss",
    sampler="sortish",
    stepper="remasked",
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["masked_loss", "masked_accuracy", "next_sentence_loss", "next_sentence_accuracy"],
    lr=2e-3,
    batch_size=64,
    epochs=10,
)
study = (
    Study(base, seeds=3, compare="valid_masked_loss")
    .swap("stepper", {"static masks": "supervised"})
    .swap("dataset.rate", {"30 %": 0.3})
    .swap("dataset.random_share", {"none replaced": 0.0})
    .swap("dataset.mask_share", {"none left": 0.9})
)
