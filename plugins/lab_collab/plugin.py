"""Collaborative filtering: ratings, factorization models, ranking metrics, and recommendations."""

from __future__ import annotations

from typing import Any

from lab import hookimpl


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Ratings."""
    return {"ratings": "lab_collab.data:ratings"}


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """MovieLens."""
    return {
        "ml-100k": "lab_collab.sources:ml_100k",
        "movielens_small_2016": "lab_collab.sources:movielens_small_2016",
        "movielens_small_2018": "lab_collab.sources:movielens_small_2018",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Rating models."""
    return {
        "dot_bias": "lab_collab.models:DotBias",
        "embedding_net": "lab_collab.models:EmbeddingNet",
        "hybrid": "lab_collab.models:Hybrid",
        "svd_plus_plus": "lab_collab.models:SVDPlusPlus",
        "time_biases": "lab_collab.models:TimeBiases",
    }


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Ranking metrics."""
    return {"hit_rate": "lab_collab.metrics:HitRate", "ndcg": "lab_collab.metrics:NDCG"}


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Items by bias, and a map of items."""
    return {"item_map": "lab_collab.callbacks:ItemMap"}


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {"ratings.longest": "max_rows"}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.recommend(...)``, ``learner.similar_items(...)``, ``learner.items_by_bias()`` …"""
    return {
        "fold_in": "lab_collab.newcomers:fold_in",
        "items_by_bias": "lab_collab.interpret:items_by_bias",
        "items_by_component": "lab_collab.interpret:items_by_component",
        "recommend": "lab_collab.recommend:recommend",
        "similar_items": "lab_collab.interpret:similar_items",
    }


@hookimpl
def lab_commands() -> dict[str, tuple[str, ...]]:
    """``lab recommend``."""
    return {"recommend": ("lab_collab.commands:recommend", "Recommend items from a trained model.", "Trained models")}


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Items with the highest and lowest bias, and a map of items."""
    from lab_collab.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_collab.conformance:support"
