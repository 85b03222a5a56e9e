"""How much of its recurrent weights should an LSTM language model drop?

DropConnect on the recurrent weights of AWD-LSTM (Merity et al. 2017), none against one fifth and one half. Nothing is
downloaded: the text is Python's own help. Penn Treebank, with LAB_DATA set:

    lab run experiments/weight_drop.py --set dataset.corpus=ptb
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("text", corpus="embedded", bptt=32),
    architecture=use("awd_lstm_small", weight_dropout=0.0),
    loss="sequence_nll",
    sampler=use("streams", vary=True),
    valid_sampler="streams",
    stepper=use("regularized_next_token", clip=1.0),
    optimizer="adam",
    callbacks=["one_cycle"],
    metrics=["next_token_perplexity"],
    lr=5e-3,
    batch_size=32,
    epochs=6,
)
study = Study(base, seeds=3).swap("architecture.weight_dropout", [0.2, 0.5])
