"""Which regularizer of AWD-LSTM matters? Each is left out once, as in the paper's table, at a small size.

Merity et al. 2017, table 4. Nothing is downloaded: the text is Python's own help. Penn Treebank, with LAB_DATA set:

    lab run experiments/awd_ablation.py --set dataset.corpus=ptb
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("text", corpus="embedded", bptt=32),
    architecture=use("awd_lstm_small", weight_dropout=0.3),
    loss="sequence_nll",
    sampler=use("streams", vary=True),
    valid_sampler="streams",
    stepper=use("regularized_next_token", clip=0.25),
    optimizer="sgd",
    callbacks=[use("nt_asgd", patience=2)],
    metrics=["next_token_perplexity"],
    lr=20.0,
    batch_size=32,
    epochs=15,
)
study = (
    Study(base, seeds=3)
    .swap("architecture.weight_dropout", {"no weight drop": 0.0})
    .swap("architecture.embedding_dropout", {"no embedding dropout": 0.0})
    .swap("architecture.input_dropout", {"no input dropout": 0.0})
    .swap("architecture.hidden_dropout", {"no hidden dropout": 0.0})
    .swap("architecture.output_dropout", {"no output dropout": 0.0})
    .swap("stepper.alpha", {"no AR": 0.0})
    .swap("stepper.beta", {"no TAR": 0.0})
    .swap("sampler.vary", {"fixed windows": False})
    .remove("callbacks.nt_asgd")
)
