"""Does gensim train better word vectors than `lab` on the same words, with the same dimensions and epochs?

Needs gensim: pip install -e '.[bench]'. Nothing is downloaded; on Penn Treebank, with LAB_DATA set:

    lab run experiments/beside_gensim.py --set corpus=ptb --seeds 5 --threads 1
"""

import time

import numpy as np
import torch
from lab_basics.optimizers import adam
from lab_words.corpora import read_sentences
from lab_words.data import word_pairs
from lab_words.embedded_eval import embedded_analogies, embedded_similarities
from lab_words.evaluation import analogy_score, read_analogies, read_similarities, similarity_score
from lab_words.losses import word_nll
from lab_words.models import WordVectorModel
from lab_words.vocabulary import WordVocabulary
from pydantic import PositiveInt

import lab
from lab import Study, use

WINDOW, NEGATIVES, MIN_FREQ, SUBSAMPLE = 5, 5, 10, 1e-4


def train(
    *,
    run: lab.TaskRun,
    library: str = "lab",
    corpus: str = "embedded",
    embedding_dim: PositiveInt = 100,
    epochs: PositiveInt = 5,
) -> dict[str, float]:
    """Train skip-gram vectors with negative sampling, and judge them; the time includes reading the text."""
    # of the processor: other programs on the machine do not count
    started = time.process_time()
    vocab, vectors = (_gensim if library == "gensim" else _lab)(run, corpus, embedding_dim, epochs)
    seconds = time.process_time() - started
    published = corpus != "embedded"
    return {
        "analogy": analogy_score(vocab, vectors, read_analogies() if published else embedded_analogies()).value,
        "similarity": similarity_score(
            vocab, vectors, read_similarities("wordsim353") if published else embedded_similarities()
        ).value,
        "words_per_cpu_second": epochs * int(vocab.counts.sum()) / seconds,
    }


def _lab(run: lab.TaskRun, corpus: str, embedding_dim: int, epochs: int) -> tuple[WordVocabulary, np.ndarray]:
    data = word_pairs(corpus, min_freq=MIN_FREQ, subsample=SUBSAMPLE, window=WINDOW, negatives=NEGATIVES, seed=run.seed)
    # gensim does not validate
    data.valid = None
    torch.manual_seed(run.seed)
    learner = lab.Learner(
        WordVectorModel(data.vocab_size, data.vocab, data.objective, embedding_dim=embedding_dim),
        data,
        word_nll,
        optimizer=adam,
        batch_size=8192,
        seed=run.seed,
        progress=False,
    )
    learner.fit_one_cycle(epochs, 1e-2)
    return data.vocab, learner.model.vectors().numpy()


def _gensim(run: lab.TaskRun, corpus: str, embedding_dim: int, epochs: int) -> tuple[WordVocabulary, np.ndarray]:
    from gensim.models import Word2Vec

    sentences, _, name = read_sentences(corpus, None, 0.1)
    vocab = WordVocabulary.of(sentences, MIN_FREQ, name)
    known = [[word for word in sentence if word in vocab.ids] for sentence in sentences]
    model = Word2Vec(
        known,
        sg=1,
        vector_size=embedding_dim,
        window=WINDOW,
        negative=NEGATIVES,
        sample=SUBSAMPLE,
        min_count=MIN_FREQ,
        epochs=epochs,
        seed=run.seed + 1,
        workers=1,
    )
    return vocab, np.stack([model.wv[word] for word in vocab.words])


study = Study(use(train), seeds=3, compare="analogy", higher_is_better=True).swap("library", ["gensim"])
