"""Word vectors: word2vec, GloVe and subwords, and their evaluation by similarity and analogy."""
