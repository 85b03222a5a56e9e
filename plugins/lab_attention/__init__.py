"""Attention for every family: mechanisms of recurrent decoders, multi-head attention, positions, Transformer blocks."""
