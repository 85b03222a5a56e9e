"""Plugin for word vectors: pairs and counts of words, models, losses, and evaluation by similarity and analogy."""

from __future__ import annotations

from typing import Any

from lab import hookimpl, preset


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Words with their contexts."""
    return {
        "replaced_middle": "lab_words.replaced:replaced_middle",
        "word_counts": "lab_words.counts:word_counts",
        "word_pairs": "lab_words.data:word_pairs",
    }


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Texts in sentences, and word lists for evaluation."""
    return {
        "ptb": "lab_words.corpora:ptb",
        "wikitext2": "lab_words.corpora:wikitext2",
        "word_eval": "lab_words.corpora:word_eval",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Models of word vectors."""
    return {
        "glove": preset("word_vectors", bias=True),
        "subword_vectors": preset("word_vectors", subwords=(3, 6)),
        "window_classifier": "lab_words.replaced:WindowClassifier",
        "word_vectors": "lab_words.models:WordVectorModel",
    }


@hookimpl
def lab_losses() -> dict[str, Any]:
    """Objectives of word vectors."""
    return {
        "glove_loss": "lab_words.losses:glove_loss",
        "negative_sampling": "lab_words.losses:negative_sampling",
        "path_nll": "lab_words.losses:path_nll",
        "word_nll": "lab_words.losses:word_nll",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Evaluation of word vectors after every epoch."""
    return {"word_scores": "lab_words.callbacks:WordScores"}


@hookimpl
def lab_vectors() -> dict[str, Any]:
    """Vectors of a finished run."""
    return {"run_vectors": "lab_words.vectors:RunVectors"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab words``."""
    return {
        "words": (
            "lab_words.commands:words",
            "Neighbors, analogies and export of trained word vectors.",
            "Trained models",
        )
    }


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Neighbors of words, answers to analogies, and a map, per arm."""
    from lab_words.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_words.conformance:support"
