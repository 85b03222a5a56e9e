"""Sequence to sequence: recurrent translation models, attention, teacher forcing, decoding and their metrics."""
