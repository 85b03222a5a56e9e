"""Plugin for translation: recurrent models and Transformers, teacher forcing, losses, metrics, callbacks."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Recurrent encoder–decoders, and Transformers."""
    return {
        "seq2seq_attn": preset("seq2seq_rnn", attention="additive"),
        "seq2seq_bidir": preset("seq2seq_rnn", bidirectional=True),
        "seq2seq_bidir_attn": preset("seq2seq_rnn", bidirectional=True, attention="additive"),
        "seq2seq_rnn": "lab_seq2seq.models:Seq2SeqRNN",
        "transformer": "lab_seq2seq.transformer:Transformer",
        # The book's section 10.7: post-norm, no bias in attention, an output of its own.
        "transformer_book": preset(
            "transformer",
            width=32,
            heads=4,
            encoder_layers=2,
            decoder_layers=2,
            feed_forward=64,
            dropout=0.1,
            attention_bias=False,
            tie_output=False,
        ),
        # For studies of minutes on the embedded corpus: pre-norm needs no warm-up, and so few epochs no dropout.
        "transformer_small": preset(
            "transformer",
            width=64,
            heads=4,
            encoder_layers=2,
            decoder_layers=2,
            feed_forward=128,
            dropout=0.0,
            norm_first=True,
        ),
        # Wu, Kong, Bi, Li & Kong 2021, arXiv:2105.14462: for Multi30k's 29,000 captions.
        "transformer_tiny": preset(
            "transformer", width=128, heads=4, encoder_layers=4, decoder_layers=4, feed_forward=256, dropout=0.3
        ),
    }


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Cross-entropy over the flattened sequence."""
    return {"seq2seq_loss": "lab_seq2seq.losses:Seq2SeqLoss"}


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """Teacher forcing, and training without it."""
    return {
        "always_forced": preset("teacher_forcing", decay_epochs=None),
        "free_running": preset("teacher_forcing", start=0.0),
        "teacher_forcing": "lab_seq2seq.steppers:TeacherForcing",
    }


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Metrics of translations."""
    return {
        "bleu": "lab_seq2seq.metrics:Bleu",
        "bleu_book": "lab_seq2seq.metrics:BookBleu",
        "chrf": "lab_seq2seq.metrics:ChrF",
        "token_perplexity": "lab_seq2seq.metrics:TokenPerplexity",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Callbacks that save translations and attention maps, and compare attention with alignments."""
    return {
        "aer": "lab_seq2seq.alignment:Aer",
        "attention_maps": "lab_seq2seq.callbacks:AttentionMaps",
        "translations": "lab_seq2seq.callbacks:Translations",
    }


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.translate(...)``; saving and loading the encoder."""
    return {
        "load_encoder": "lab_seq2seq.transfer:load_encoder",
        "save_encoder": "lab_seq2seq.transfer:save_encoder",
        "translate": "lab_seq2seq.decode:translate",
    }


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Report sections: sample translations and attention maps."""
    from lab_seq2seq.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Support for the conformance kit."""
    return "lab_seq2seq.conformance:support"
