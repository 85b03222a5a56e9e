"""Plugin for language models over words, subwords and characters."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Running text, and pairs of sentences with masked tokens."""
    return {"masked_pairs": "lab_lm.pairs:masked_pairs", "text": "lab_lm.data:text"}


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Language models, and n-grams to compare them with."""
    return {
        "awd_lstm": "lab_lm.awd:AwdLSTM",
        "awd_lstm_small": preset("awd_lstm", embedding_dim=128, hidden_size=256, layers=2),
        "bert": "lab_lm.bert:BERT",
        "bert_book": preset("bert", dropout=0.2, activation="relu", norm_first=False, tied=False),
        "gpt": "lab_lm.gpt:GPT",
        "ngram_lm": "lab_lm.ngram:KneserNeyLM",
        "rnn_lm": "lab_lm.models:RnnLM",
    }


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Next tokens of large vocabularies; masked tokens and the next sentence."""
    return {"bert_loss": "lab_lm.bert:bert_loss", "projected_nll": "lab_lm.outputs:ProjectedNLL"}


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Both tasks of BERT."""
    return {
        "masked_accuracy": "lab_lm.bert:MaskedAccuracy",
        "masked_loss": "lab_lm.bert:MaskedLoss",
        "next_sentence_accuracy": "lab_lm.bert:NextSentenceAccuracy",
        "next_sentence_loss": "lab_lm.bert:NextSentenceLoss",
    }


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """Training steps of language models."""
    return {
        "next_token": "lab_lm.steppers:NextToken",
        "regularized_next_token": "lab_lm.awd:RegularizedNextToken",
        "remasked": "lab_lm.bert:Remasked",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Averaging of weights once training no longer improves; the weights of an earlier run as a start."""
    return {"nt_asgd": "lab_lm.awd:NTASGD", "start_from": "lab_lm.finetuning:StartFrom"}


@hookimpl
def lab_text_encoders() -> dict[str, Any]:
    """Layers of language models as encoders of texts."""
    return {
        "awd_lstm": "lab_lm.encoders:AwdEncoder",
        "bert": "lab_lm.encoders:BertEncoder",
        "gpt": "lab_lm.encoders:GPTEncoder",
        "rnn_lm": "lab_lm.encoders:RnnEncoder",
    }


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_lm.conformance:support"
