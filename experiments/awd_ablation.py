"""Which regularizer of AWD-LSTM matters? Each is left out once, as in the paper's table, at a small size.

Merity et al. 2017, table 4. Nothing is downloaded: the text is the first 300 paragraphs of Python's own help, 10,000
tokens, which a net of 0.7 million weights can learn by heart; a run takes a minute or two. With `--seeds 5` every
removal hurts in the mean, and three beyond their interval: embedding dropout, output dropout and the average of
weights. On 300 lines of Penn Treebank, with ten seeds, all regularizers hurt beyond theirs (docs/language-models.md):

    lab run experiments/awd_ablation.py --set dataset.corpus=ptb --seeds 10

A net that has no time to learn its text by heart is better without them: on all of the text, perplexity after 15 epochs
was 37.5 with all, 36.9 without weight drop, 36.0 without embedding dropout and 36.3 without input dropout (one seed):

    lab run experiments/awd_ablation.py --set dataset.max_lines=null --epochs 15
    lab run experiments/awd_ablation.py --set dataset.corpus=ptb --set dataset.max_lines=null --epochs 15
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("text", corpus="embedded", bptt=32, max_lines=300),
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
    epochs=150,
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
