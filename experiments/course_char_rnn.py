"""The recurrent networks of fast.ai 2018, lesson 6, on Nietzsche: what did each of them reach?

The course's settings: 64 streams, pieces of 8 characters, 42 numbers per character, 256 hidden units, the last fifth of
the lines held out. Its notebook printed, in nats per character: stateful RNN 1.486 (8 epochs), RNNCell 1.542 (4), GRU
1.370 (9). The schedule here is one cycle instead of two constant rates. LAB_DATA must hold the corpus.

    lab run experiments/course_char_rnn.py                                      # the stateful RNN, 8 epochs
    lab run experiments/course_char_rnn.py --set architecture=char_rnn_cell --set lr=0.002 --epochs 4
    lab run experiments/course_char_rnn.py --set architecture=char_gru --set lr=0.002 --epochs 9
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="nietzsche", bptt=8, min_freq=3),
    architecture="char_rnn_stateful",
    loss="sequence_nll",
    sampler="streams",
    valid_sampler="streams",
    optimizer="adam",
    callbacks=["one_cycle", "sample_text"],
    metrics=["bits_per_character"],
    lr=1e-3,
    batch_size=64,
    epochs=8,
)
study = Study(base, seeds=1)
