"""A registry of activations, and a network that takes one."""

from __future__ import annotations

from lab import RegistrySpec, hookimpl


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Open the registry ``activations``, which creates the hook ``lab_activations``."""
    contract = "lab_activations.activations:Activation"
    return [RegistrySpec("activations", "activation", contract, "activation functions")]


@hookimpl
def lab_activations() -> dict[str, str]:
    """Two activations."""
    return {"swish": "lab_activations.activations:Swish", "cube": "lab_activations.activations:Cube"}


@hookimpl
def lab_architectures() -> dict[str, str]:
    """A network with an activation."""
    return {"bent": "lab_activations.activations:Bent"}


@hookimpl
def lab_conformance() -> str:
    """Return the conformance support."""
    return "lab_activations.conformance:support"
