"""Language models over words, subwords and characters."""
