"""How far does the BERT of *Dive into Deep Learning* get beyond its 50 steps, and is its learning rate to blame?

Section 15.10, in the second Chinese edition 14.10: two layers of 128, two heads, batches of 512 pairs, Adam at 0.01,
masks drawn once. Four epochs are 52 steps here, since of WikiText-2 only the validation part trains, and the test part
validates. Needs LAB_DATA.

Not far, with one seed: the masked loss on new text is 5.66 after 52 steps and after 260, and 18 % of the masked tokens
are right, so this model knows which words are frequent and no more. A tenth of the rate gives 5.59, and the next
sentence is learned by heart: its loss on new text triples. New masks at every step give 5.59 at the book's rate.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("masked_pairs", corpus="wikitext2", min_freq=5),
    architecture="bert_book",
    loss="bert_loss",
    optimizer="adam",
    metrics=["masked_loss", "masked_accuracy", "next_sentence_loss", "next_sentence_accuracy"],
    lr=0.01,
    batch_size=512,
    epochs=20,
)
study = (
    Study(base, seeds=1, compare="valid_masked_loss")
    .swap("lr", {"lr 0.001": 0.001})
    .swap("stepper", {"new masks at every step": "remasked"})
)
