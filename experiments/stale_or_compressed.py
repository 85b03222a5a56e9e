"""How late, or how coarse, may gradients be before training suffers?

*Dive into Deep Learning*, section 12.7 of the second Chinese edition, on parameter servers, reckons what it costs to
send gradients, and asks in an exercise about sending while computation goes on; it prints nothing of either. Delays are
those of Recht et al. 2011 (Hogwild!), compression that of Aji & Heafield 2017 and Seide et al. 2014. Every arm has the
same steps and the same rate. A gradient that arrives some steps later is as stale as with that many other workers; a
compressed one sends a tenth, or a hundredth, of its entries, or their signs alone. What was not sent is added to the
next gradient, but for the last arm.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="digits",
    architecture=use("image_mlp", layers=[64]),
    loss="cross_entropy",
    stepper="supervised",
    optimizer="sgd",
    metrics=["accuracy"],
    lr=0.2,
    batch_size=32,
    epochs=8,
)
study = Study(base, seeds=5, compare="valid_accuracy").swap(
    "stepper",
    {
        "4 steps late": use("delayed_gradients", steps=4),
        "16 steps late": use("delayed_gradients", steps=16),
        "64 steps late": use("delayed_gradients", steps=64),
        "a tenth": use("compressed_gradients", keep=0.1),
        "a hundredth": use("compressed_gradients", keep=0.01),
        "signs": use("compressed_gradients", method="sign"),
        "a hundredth, no feedback": use("compressed_gradients", keep=0.01, feedback=False),
    },
)
