"""Plugin for text: tokenizers, word vectors, corpora, sentence pairs, windows of running text, and generation."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Open the registries of this plugin."""
    return [
        RegistrySpec("tokenizers", "tokenizer", "lab_text.tokenizer:Tokenizer", "text to tokens and back"),
        RegistrySpec("vectors", "word vectors", "lab_text.vectors:WordVectors", "word vectors for embedding layers"),
        RegistrySpec("indexes", "index", "lab_text.indexes:Index", "nearest-neighbor indexes"),
        RegistrySpec("corpora", "corpus", "lab_text.corpora:Corpus", "named corpora: files, licenses, downloads"),
    ]


@hookimpl
def lab_tokenizers() -> dict[str, str]:
    """Tokenizers."""
    return {
        "book": "lab_text.tokenizers:BookTokenizer",
        "bpe": "lab_text.subwords:BpeTokenizer",
        "spacy": "lab_text.tokenizers:SpacyTokenizer",
        "truecased": "lab_text.truecase:TruecasedTokenizer",
        "unigram": "lab_text.subwords:UnigramTokenizer",
        "whitespace": "lab_text.tokenizers:WhitespaceTokenizer",
        "wordpiece": "lab_text.subwords:WordPieceTokenizer",
        "characters": "lab_text.tokenizers:CharacterTokenizer",
    }


@hookimpl
def lab_vectors() -> dict[str, str]:
    """Word vectors for embedding layers."""
    return {
        "fasttext": "lab_text.vectors:FastTextVectors",
        "text_vectors": "lab_text.vectors:TextVectors",
        "fasttext_trained": "lab_text.vectors:FastTextTrained",
        "random": "lab_text.vectors:RandomVectors",
    }


@hookimpl
def lab_indexes() -> dict[str, str]:
    """Indexes of vectors, exact and approximate."""
    return {
        "exact": "lab_text.indexes:ExactIndex",
        "nmslib": "lab_text.indexes:NmslibIndex",
        "usearch": "lab_text.indexes:UsearchIndex",
    }


@hookimpl
def lab_corpora() -> dict[str, str]:
    """Named corpora."""
    return {
        "embedded": "lab_text.corpora:embedded",
        "giga-fren": "lab_text.corpora:giga_fren",
        "multi30k": "lab_text.corpora:multi30k",
        "tatoeba": "lab_text.corpora:tatoeba",
    }


@hookimpl
def lab_datasets() -> dict[str, str]:
    """Datasets of sentence pairs."""
    return {
        "book_pairs": "lab_text.parallel:book_pairs",
        "parallel_text": "lab_text.parallel:parallel_text",
        "fr_en_questions": "lab_text.parallel:fr_en_questions",
        "multi30k": "lab_text.parallel:multi30k",
    }


@hookimpl
def lab_samplers() -> dict[str, str]:
    """Windows of a text."""
    return {
        "chunks": "lab_text.samplers:Chunks",
        "consecutive_spans": "lab_text.consecutive:ConsecutiveSpans",
        "random": "lab_text.samplers:RandomOffsets",
        "spans": "lab_text.samplers:Spans",
        "streams": "lab_text.samplers:Streams",
        "windows": "lab_text.samplers:SlidingWindows",
    }


@hookimpl
def lab_losses() -> dict[str, str]:
    """Negative log-likelihood of the next tokens."""
    return {"last_only": "lab_text.losses:last_only", "sequence_nll": "lab_text.losses:sequence_nll"}


@hookimpl
def lab_metrics() -> dict[str, str]:
    """Quality of next-token prediction."""
    return {
        "bits_per_character": "lab_text.metrics:BitsPerCharacter",
        "char_accuracy": "lab_text.metrics:NextTokenAccuracy",
        "char_perplexity": "lab_text.metrics:NextTokenPerplexity",
        "next_token_accuracy": "lab_text.metrics:NextTokenAccuracy",
        "next_token_perplexity": "lab_text.metrics:NextTokenPerplexity",
        "perplexity_per_word": "lab_text.metrics:PerplexityPerWord",
    }


@hookimpl
def lab_callbacks() -> dict[str, str]:
    """Sample texts, one per epoch."""
    return {"sample_text": "lab_text.samples:SampleText"}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """One generated text per arm."""
    from lab_text.report import sections

    return sections(runs)


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.generate(...)``."""
    return {"generate": "lab_text.generation:generate"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab data`` and ``lab generate``."""
    return {
        "data": ("lab_text.commands:data", "List corpora, and fetch one.", "Components and plugins"),
        "generate": (
            "lab_text.generate_command:generate",
            "Generate text with a trained language model.",
            "Trained models",
        ),
    }


@hookimpl
def lab_conformance() -> str:
    """Support for the conformance kit."""
    return "lab_text.conformance:support"


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Templates for ``lab new``."""
    return {kind: f"lab_text:scaffolds/{kind}" for kind in ("corpus", "index", "tokenizer", "vectors")}
