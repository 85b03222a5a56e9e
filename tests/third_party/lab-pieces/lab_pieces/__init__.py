"""Tokenizer of word pieces."""
