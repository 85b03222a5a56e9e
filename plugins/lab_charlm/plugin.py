"""Character language models: text data, window samplers, recurrent networks, and text generation."""

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
def lab_samplers() -> dict[str, Any]:
    """Windows of a text."""
    return {
        "chunks": "lab_charlm.samplers:Chunks",
        "consecutive_spans": "lab_charlm.consecutive:ConsecutiveSpans",
        "random": "lab_charlm.samplers:RandomOffsets",
        "spans": "lab_charlm.samplers:Spans",
        "streams": "lab_charlm.samplers:Streams",
        "windows": "lab_charlm.samplers:SlidingWindows",
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
def lab_losses() -> dict[str, Any]:
    """Negative log-likelihood of the next characters."""
    return {"last_only": "lab_charlm.losses:last_only", "sequence_nll": "lab_charlm.losses:sequence_nll"}


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Quality of next-character prediction."""
    return {
        "bits_per_character": "lab_charlm.metrics:BitsPerCharacter",
        "char_accuracy": "lab_charlm.metrics:CharAccuracy",
        "char_perplexity": "lab_charlm.metrics:CharPerplexity",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Sample texts, one per epoch."""
    return {"sample_text": "lab_charlm.callbacks:SampleText"}


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {"char_text.longest": "max_chars"}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.generate(...)``."""
    return {"generate": "lab_charlm.generation:generate"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab generate``."""
    return {
        "generate": ("lab_charlm.commands:generate", "Generate text with a trained character model.", "Trained models")
    }


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """One generated text per arm."""
    from lab_charlm.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_charlm.conformance:support"
