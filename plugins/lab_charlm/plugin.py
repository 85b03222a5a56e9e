"""What is in here: one long text of characters, ways to read it, recurrent networks for it, and text made by them."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """A text of characters."""
    return {"char_text": "lab_charlm.data:char_text"}


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Texts in the data directory."""
    return {
        "andersen": "lab_charlm.corpora:andersen",
        "nietzsche": "lab_charlm.corpora:nietzsche",
        "timemachine": "lab_charlm.corpora:timemachine",
    }


@hookimpl
def lab_samplers() -> dict[str, Any]:
    """Ways to read a text."""
    return {
        "chunks": "lab_charlm.readings:Chunks",
        "random": "lab_charlm.readings:RandomOffsets",
        "spans": "lab_charlm.readings:Spans",
        "streams": "lab_charlm.readings:Streams",
        "windows": "lab_charlm.readings:Windows",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """The lesson's networks, by its names, and what they have in common."""
    return {
        "char3": "lab_charlm.models:Char3",
        "char_gru": preset("char_rnn", cell="gru", stateful=True),
        "char_loop": "lab_charlm.models:CharLoop",
        "char_loop_concat": preset("char_loop", combine="concat"),
        "char_lstm": preset("char_rnn", cell="lstm", stateful=True, hidden_size=512, layers=2, dropout=0.5),
        "char_rnn": "lab_charlm.models:CharRNN",
        "char_rnn_cell": preset("char_rnn", cell="rnn_cell", stateful=True),
        "char_rnn_last": preset("char_rnn", cell="rnn", predict="last"),
        "char_rnn_stateful": preset("char_rnn", cell="rnn", stateful=True),
    }


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Negative log likelihood of the next characters."""
    return {"last_only": "lab_charlm.losses:last_only", "sequence_nll": "lab_charlm.losses:sequence_nll"}


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """How well the next character is foreseen."""
    return {
        "bits_per_character": "lab_charlm.metrics:BitsPerCharacter",
        "char_accuracy": "lab_charlm.metrics:CharAccuracy",
        "char_perplexity": "lab_charlm.metrics:CharPerplexity",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """What a run leaves to read."""
    return {"sample_text": "lab_charlm.callbacks:SampleText"}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.generate(...)``."""
    return {"generate": "lab_charlm.generation:generate"}


@hookimpl
def lab_commands() -> dict[str, str]:
    """``lab generate``."""
    return {"generate": "lab_charlm.commands:generate"}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """A text that each arm made."""
    from lab_charlm.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """What the conformance kit must know of these components."""
    return "lab_charlm.conformance:offer"
