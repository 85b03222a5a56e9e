"""Plugin for texts with labels: datasets, encoders, poolings, models of texts and of pairs."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl, preset


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Registries ``text_encoders`` and ``poolings``."""
    return [
        RegistrySpec("text_encoders", "text encoder", "lab_text.encoders:TextEncoder", "vectors of words in a text"),
        RegistrySpec("poolings", "pooling", "lab_sentences.poolings:Pooling", "one vector from those of a text"),
    ]


@hookimpl
def lab_text_encoders() -> dict[str, Any]:
    """Encoders of texts."""
    return {
        "bag_of_words": "lab_sentences.encoders:BagOfWords",
        "birnn": "lab_sentences.encoders:BiRNN",
        "text_cnn": "lab_sentences.encoders:TextCNN",
        "transformer": "lab_sentences.encoders:TransformerEncoder",
    }


@hookimpl
def lab_poolings() -> dict[str, Any]:
    """Poolings over the words of a text."""
    return {
        "attention": "lab_sentences.poolings:AttentionPooling",
        "concat": "lab_sentences.poolings:ConcatPooling",
        "first": "lab_sentences.poolings:FirstPooling",
        "last": "lab_sentences.poolings:LastPooling",
        "max": "lab_sentences.poolings:MaxPooling",
        "mean": "lab_sentences.poolings:MeanPooling",
    }


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Texts and pairs of texts with labels."""
    named = ("embedded_pairs", "movie_reviews", "rte", "sick", "snli", "sst2")
    corpora = {name: preset("labelled_text", corpus=name) for name in named}
    return {"labelled_text": "lab_sentences.data:labelled_text", **corpora}


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Labelled corpora in the data directory."""
    return {name: f"lab_sentences.sources:{name}" for name in ("movie_reviews", "rte", "sick", "snli", "sst2")}


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Models of texts, and of pairs of them."""
    return {
        "decomposable_attention": "lab_sentences.inference:DecomposableAttention",
        "nb_svm": preset("ngram_model", features="nb", classifier="svm"),
        "ngram_model": "lab_sentences.linear:NgramModel",
        "text_classifier": "lab_sentences.models:TextClassifier",
        "text_similarity": "lab_sentences.models:TextSimilarity",
        "tfidf_logistic": preset("ngram_model", features="tfidf", strength=10.0),
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Artefacts for the report."""
    return {"look_at_texts": "lab_sentences.callbacks:LookAtTexts"}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Confusion matrix, most confident mistakes, alignments."""
    from lab_sentences.report import sections

    return sections(runs)


@hookimpl
def lab_predictors() -> dict[str, str]:
    """Prediction of texts, for ``lab predict``."""
    return {"texts": "lab_sentences.predict:TextPredictor"}


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab classify``."""
    return {"classify": ("lab_sentences.commands:classify", "Classify texts with a trained model.", "Trained models")}


@hookimpl
def lab_run_finished(run: Any, result: Any) -> None:
    """Store the preprocessing with the run."""
    if result.status == "finished" and hasattr(run.data, "text_count"):
        from lab_sentences.predict import keep_preparation

        keep_preparation(run, result.folder)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit, and the checks of encoders and poolings."""
    return "lab_sentences.conformance:support"
