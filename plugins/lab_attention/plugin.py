"""Plugin for attention: mechanisms of recurrent decoders, and positions of Transformers."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Registry ``attentions``."""
    return [RegistrySpec("attentions", "attention", "lab_attention.attention:Attention", "attention mechanisms")]


@hookimpl
def lab_attentions() -> dict[str, Any]:
    """Attention mechanisms."""
    return {
        "additive": "lab_attention.attention:AdditiveAttention",
        "dot": "lab_attention.attention:DotAttention",
        "general": "lab_attention.attention:GeneralAttention",
        "scaled_dot": "lab_attention.attention:ScaledDotAttention",
    }


@hookimpl
def lab_conformance() -> str:
    """Support for the conformance kit."""
    return "lab_attention.conformance:support"


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Templates for ``lab new``."""
    return {"attention": "lab_attention:scaffolds/attention"}
