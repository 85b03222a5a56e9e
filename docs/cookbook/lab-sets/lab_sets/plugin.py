"""Contents: a registry of poolings, a dataset of sets, a network over sets, and ``lab sets``."""

from __future__ import annotations

from lab import RegistrySpec, hookimpl, preset

plugin_api = ">=1,<2"


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Open the registry ``set_poolings``, and with it the hook ``lab_set_poolings``."""
    return [RegistrySpec("set_poolings", "set pooling", "lab_sets.poolings:SetPooling", "poolings over sets")]


@hookimpl
def lab_set_poolings() -> dict[str, str]:
    """Poolings over sets."""
    return {
        "set_max": "lab_sets.poolings:SetMax",
        "set_mean": "lab_sets.poolings:SetMean",
        "set_sum": "lab_sets.poolings:SetSum",
    }


@hookimpl
def lab_datasets() -> dict[str, str]:
    """Sets of numbers."""
    return {"number_sets": "lab_sets.data:number_sets"}


@hookimpl
def lab_architectures() -> dict[str, object]:
    """Networks over sets."""
    return {"deep_sets": "lab_sets.models:DeepSets", "deep_sets_max": preset("deep_sets", pooling="set_max")}


@hookimpl
def lab_commands() -> dict[str, tuple[str, str]]:
    """``lab sets``; the function is imported when the command is called."""
    return {"sets": ("lab_sets.command:sets", "Show sets, and what a trained run predicts for them.")}


@hookimpl
def lab_conformance() -> str:
    """Example data of sets, and checks of poolings."""
    return "lab_sets.conformance:support"
