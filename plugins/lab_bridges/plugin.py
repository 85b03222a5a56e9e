"""Contents: a dataset of Hugging Face on disk. The callbacks for other trainers are imported by training functions."""

from __future__ import annotations

from lab import hookimpl


@hookimpl
def lab_datasets() -> dict[str, str]:
    """Datasets of Hugging Face, as ``save_to_disk`` writes them."""
    return {"hf_dataset": "lab_bridges.datasets:hf_dataset"}


@hookimpl
def lab_conformance() -> str:
    """A small dataset on disk."""
    return "lab_bridges.conformance:support"
