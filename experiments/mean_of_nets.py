"""Does the mean of a linear model, a perceptron and a convolutional network beat the best of them?

Ensembles, which lessons name as a way to win competitions, without figures. The mean is that of softmax probabilities.
The rows of the means are evaluated with the weights of the other rows' runs, seed by seed; nothing is trained again.
`lab ensemble KEY...` gives the same for any runs, such as those of several seeds:

    lab run experiments/mean_of_nets.py
    lab ensemble $(lab runs --study mean_of_nets --arm base --keys)
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset="digits",
    architecture=use("conv_net2", widths=[16, 32]),
    loss="cross_entropy",
    optimizer="adam",
    metrics=["accuracy"],
    lr=3e-3,
    batch_size=64,
    epochs=6,
)
study = (
    Study(base, seeds=10)
    .swap("architecture", {"perceptron": use("image_mlp", layers=[64]), "linear": "softmax"})
    .ensemble({"mean of two": ["base", "perceptron"], "mean of three": ["base", "perceptron", "linear"]})
)
