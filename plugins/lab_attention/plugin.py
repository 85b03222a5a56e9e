"""Plugin for attention: mechanisms of recurrent decoders, and positions of Transformers."""

from __future__ import annotations

from typing import Any

from lab import RegistrySpec, hookimpl


@hookimpl
def lab_registries() -> list[RegistrySpec]:
    """Registries ``attentions`` and ``positions``."""
    return [
        RegistrySpec("attentions", "attention", "lab_attention.attention:Attention", "attention mechanisms"),
        RegistrySpec("positions", "positions", "lab_attention.positions:Positions", "positions of tokens"),
    ]


@hookimpl
def lab_attentions() -> dict[str, Any]:
    """Attention mechanisms."""
    return {
        "additive": "lab_attention.attention:AdditiveAttention",
        "dot": "lab_attention.attention:DotAttention",
        "general": "lab_attention.attention:GeneralAttention",
        "multi_head": "lab_attention.multihead:MultiHeadPooling",
        "scaled_dot": "lab_attention.attention:ScaledDotAttention",
    }


@hookimpl
def lab_positions() -> dict[str, Any]:
    """Positions of tokens."""
    return {
        "alibi": "lab_attention.positions:AlibiPositions",
        "learned": "lab_attention.positions:LearnedPositions",
        "none": "lab_attention.positions:NoPositions",
        "rotary": "lab_attention.positions:RotaryPositions",
        "sinusoidal": "lab_attention.positions:SinusoidalPositions",
    }


@hookimpl
def lab_conformance() -> str:
    """Support for the conformance kit."""
    return "lab_attention.conformance:support"


@hookimpl
def lab_scaffolds() -> dict[str, str]:
    """Templates for ``lab new``."""
    return {"attention": "lab_attention:scaffolds/attention"}
