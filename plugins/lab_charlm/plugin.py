"""Character language models: text data and networks."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Text as characters."""
    return {"char_text": "lab_charlm.data:char_text"}


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Public texts in the data directory."""
    return {
        "andersen": "lab_charlm.corpora:andersen",
        "nietzsche": "lab_charlm.corpora:nietzsche",
        "timemachine": "lab_charlm.corpora:timemachine",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Networks of fast.ai 2018, lesson 6, by the names used there."""
    return {
        "char3": "lab_charlm.models:Char3",
        "char_gru": preset("char_rnn", cell="gru", stateful=True),
        "char_loop": "lab_charlm.models:CharLoop",
        "char_loop_concat": preset("char_loop", combine="concat"),
        "char_lstm": preset(
            "char_rnn", cell="lstm", stateful=True, hidden_size=512, layers=2, dropout=0.5, output_dropout=0.0
        ),
        "char_rnn": "lab_charlm.models:CharRNN",
        "char_rnn_cell": preset("char_rnn", cell="rnn_cell", stateful=True),
        "char_rnn_last": preset("char_rnn", cell="rnn", predict="last"),
        "char_rnn_stateful": preset("char_rnn", cell="rnn", stateful=True),
        "char_seq_rnn": preset("char_rnn", cell="rnn"),
    }


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {"char_text.longest": "max_chars"}


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_charlm.conformance:support"
