"""Plugin for text: tokenizers, word vectors, named corpora and datasets of sentence pairs."""

from __future__ import annotations

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
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab data``."""
    return {"data": ("lab_text.commands:data", "List corpora, and fetch one.", "Components and plugins")}


@hookimpl
def lab_conformance() -> str:
    """Support for the conformance kit."""
    return "lab_text.conformance:support"


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Templates for ``lab new``."""
    return {kind: f"lab_text:scaffolds/{kind}" for kind in ("corpus", "index", "tokenizer", "vectors")}
