"""Should a translator look at the source before each step or after it, and does it matter how its weights begin?

Bahdanau, Cho & Bengio 2015 look with the state before the step, fast.ai's 2018 lesson with them; Luong, Pham & Manning
2015 with the state behind it, which has seen the last word. The lesson's weights are torch's, its words N(0, 1); Glorot
& Bengio 2010 draw weights by the width of a layer, and words are then small.
"""

from lab import Experiment, Study, use

base = Experiment(
    dataset=use("fr_en_questions", corpus="embedded"),
    architecture=use("seq2seq_attn", embedding_dim=96, hidden_size=64, layers=1, output_dropout=0.1),
    loss="seq2seq_loss",
    sampler="sortish",
    stepper="teacher_forcing",
    optimizer=use("adam", betas=(0.8, 0.99)),
    callbacks=["one_cycle", "translations", "attention_maps"],
    metrics=["token_perplexity", "bleu"],
    lr=1e-2,
    batch_size=128,
    epochs=3,
)

study = Study(base, seeds=3, compare="valid_loss").grid(
    {
        "architecture.attend": ["before", "after"],
        "architecture.xavier_init": {"as torch draws": False, "Xavier": True},
    }
)
