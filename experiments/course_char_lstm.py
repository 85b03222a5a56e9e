"""The two-layer LSTM of fast.ai 2018, lesson 6, on Nietzsche, with warm restarts: how far does it come?

512 hidden units, dropout 0.5 between the layers, Adam at 0.01 with a little weight decay, cycles of 1, 2, 4 and 8
epochs. The course's notebook printed 1.315 nats per character after 15 epochs, and 1.2524 after 63 (``--epochs 63``).
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("char_text", corpus="nietzsche", bptt=8, min_freq=3),
    architecture="char_lstm",
    loss="sequence_nll",
    sampler=use("streams", vary=True),
    valid_sampler="streams",
    optimizer=use("adam", weight_decay=1e-5),
    callbacks=[use("cos_anneal", cycle_len=1, cycle_mult=2), "sample_text"],
    metrics=["bits_per_character"],
    lr=1e-2,
    batch_size=64,
    epochs=15,
)
study = Study(base, seeds=1)
