"""How well do an RNN, a GRU and an LSTM learn ten thousand letters of The Time Machine by heart?

*Dive into Deep Learning*, sections 8.5 to 9.3 of the second Chinese edition: letters and spaces alone, in lower case,
32 streams, 35 steps, 256 hidden units on one-hot letters, stochastic gradient descent with a rate of 1, gradients
clipped at 1, 500 epochs. The book prints perplexities of the training text, and e to the power of `train_loss` is one:
1.3 for the RNN with torch's layer, 1.0 for that of 512 units written out (1.5 from shuffled windows), 1.0 for torch's
GRU and 1.1 for its LSTM. The 2,500 letters behind validate, and show that nothing but the text was learned. Needs the
corpus timemachine in LAB_DATA; the base takes some minutes on a core, all arms an hour.

    lab run experiments/book_char_models.py --arms base
    lab generate KEY --prompt "time traveller" --length 50
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="timemachine", letters_only=True, max_chars=12_500, valid_share=0.2, bptt=35),
    architecture=use("char_rnn", cell="rnn", hidden_size=256, one_hot=True, stateful=True),
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    stepper=use("supervised", clip=1.0),
    optimizer="sgd",
    lr=1.0,
    batch_size=32,
    epochs=500,
)
study = (
    Study(base, seeds=1, compare="train_loss")
    .swap("architecture.cell", {"GRU": "gru", "LSTM": "lstm"})
    .swap("sampler", {"shuffled windows": "random"})
    .swap("architecture.hidden_size", {"512 units": 512})
)
