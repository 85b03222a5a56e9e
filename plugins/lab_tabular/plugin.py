"""Tabular data: tables, networks and trees, prediction, and entity embeddings."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl, preset


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Open the registry of processors."""
    return [
        RegistrySpec(
            "processors", "processor", "lab_tabular.processors:Processor", "transformations of a table's columns"
        )
    ]


@hookimpl
def lab_processors() -> dict[str, Any]:
    """Processors of columns, beside those that every table has."""
    return {"clip": "lab_tabular.processors:Clip", "log_scale": "lab_tabular.processors:LogScale"}


@hookimpl
def lab_datasets() -> dict[str, Any]:
    """Tables."""
    return {
        "adult": "lab_tabular.sources:adult",
        "bundled_table": "lab_tabular.sources:bundled_table",
        "house_prices": "lab_tabular.sources:house_prices",
        "line": "lab_tabular.line:line",
        "rossmann": "lab_tabular.rossmann:rossmann",
        "table": "lab_tabular.data:table",
        "towns": "lab_tabular.sources:towns",
    }


@hookimpl
def lab_corpora() -> dict[str, Any]:
    """Public tables."""
    return {
        "adult": "lab_tabular.sources:adult_corpus",
        "house_prices": "lab_tabular.sources:house_prices_corpus",
        "rossmann": "lab_tabular.rossmann:rossmann_corpus",
    }


@hookimpl
def lab_architectures() -> dict[str, Any]:
    """Tabular models."""
    return {
        "line": "lab_tabular.line:Line",
        "linear": "lab_tabular.models:Linear",
        "one_hot_mlp": preset(
            "tabular_mlp", categories="one_hot", layers=[256], batch_norm=False, continuous_norm=False
        ),
        "sklearn": "lab_tabular.trees:sklearn",
        "softmax_regression": preset("linear"),
        "tabular_mlp": "lab_tabular.models:TabularMLP",
    }


@hookimpl
def lab_steppers() -> dict[str, Any]:
    """Gradient descent by hand."""
    return {"by_hand": "lab_tabular.line:ByHand"}


@hookimpl
def lab_metrics() -> dict[str, Any]:
    """Metrics of tabular competitions."""
    return {
        "log_loss": "lab_tabular.metrics:LogLoss",
        "log_rmse": "lab_tabular.metrics:RMSLE",
        "rmspe": "lab_tabular.metrics:RMSPE",
    }


@hookimpl
def lab_callbacks() -> dict[str, Any]:
    """Pretraining, maps of category embeddings, and the animation of a line."""
    return {
        "autoencoder": "lab_tabular.pretraining:AutoencoderPretraining",
        "entity_maps": "lab_tabular.callbacks:EntityMaps",
        "line_film": "lab_tabular.line:LineFilm",
    }


@hookimpl
def lab_former_names() -> dict[str, str]:
    """Parameters that were renamed."""
    return {"adult.longest": "max_rows", "table.longest": "max_rows", "table.numbers": "numeric"}


@hookimpl
def lab_learner_methods() -> dict[str, str]:
    """``learner.entity_embeddings()``, ``learner.embedding_features(frame)`` and others on embeddings."""
    names = ("category_distances", "category_map", "compare_encodings", "embedding_features", "entity_embeddings")
    return {name: f"lab_tabular.embeddings:{name}" for name in names}


@hookimpl
def lab_predictors() -> dict[str, str]:
    """Prediction of tables, for ``lab predict``."""
    return {"tables": "lab_tabular.predict:TablePredictor"}


@hookimpl
def lab_run_finished(run: Any, result: Any) -> None:
    """Store the preprocessing with the run."""
    if result.status == "finished" and hasattr(run.data, "category_sizes"):
        from lab_tabular.predict import keep_preparation

        keep_preparation(run, result.folder)


@hookimpl
def lab_report_sections(study: Any, runs: Any) -> Any:
    """Maps of category embeddings, other models on them, and the animation of a line."""
    from lab_tabular.report import sections

    return sections(runs)


@hookimpl
def lab_conformance() -> str:
    """Example data for the conformance kit."""
    return "lab_tabular.conformance:support"
