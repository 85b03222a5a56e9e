"""Transfer of a trained encoder to another model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lab.errors import LabError, StoreError
from lab.files import atomic_path
from lab_seq2seq.models import Encoder

if TYPE_CHECKING:
    from lab.training.learner import Learner

__all__ = ["load_encoder", "save_encoder"]


def save_encoder(learner: Learner, path: Path | str) -> None:
    """Write encoder and source embedding as safetensors, with their layout and a hash of the source vocabulary."""
    encoder = _encoder_of(learner)
    # safetensors refuses tensors that share memory or are not contiguous.
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    # A crash leaves the old file, never half a new one.
    with atomic_path(Path(path)) as temporary:
        save_file(tensors, temporary, metadata={"encoder": json.dumps(_description(learner, encoder))})


def load_encoder(learner: Learner, path: Path | str) -> None:
    """Load an encoder saved by ``save_encoder``; the decoder is unchanged.

    Raises:
        StoreError: the file cannot be read, has no encoder, or one with another layout or source vocabulary.
    """
    encoder = _encoder_of(learner)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            # The layout travels in the header, so that a wrong file is refused before any weight is copied.
            written = (file.metadata() or {}).get("encoder")
    except (OSError, SafetensorError) as error:
        raise StoreError("cannot read the encoder", where=f"{path}: {error}") from error
    if written is None:
        raise StoreError("this file has no encoder", where=str(path), hint="write one with learner.save_encoder(path)")
    _check(json.loads(written), _description(learner, encoder), path)
    encoder.load_state_dict(tensors)


def _encoder_of(learner: Learner) -> Encoder:
    encoder = getattr(learner.model, "encoder", None)
    if not isinstance(encoder, Encoder):
        raise LabError(f"a {type(learner.model).__name__} has no encoder to save or load", hint="seq2seq_rnn has one")
    return encoder


def _description(learner: Learner, encoder: Encoder) -> dict[str, Any]:
    rnn = encoder.recurrent.rnn
    vocabulary = getattr(learner.data, "source_vocab", None)
    return {
        "cell": rnn.mode.lower().split("_")[0],
        "layers": rnn.num_layers,
        "hidden_size": rnn.hidden_size,
        "bidirectional": rnn.bidirectional,
        "embedding_dim": encoder.embedding.embedding_dim,
        "source_vocab_size": encoder.embedding.num_embeddings,
        "source vocabulary": None if vocabulary is None else _hash(vocabulary.words),
    }


def _hash(words: list[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _check(written: dict[str, Any], own: dict[str, Any], path: Path | str) -> None:
    problems = [
        f"{name}: {written.get(name)} in the file, {value} in the model"
        for name, value in own.items()
        # Without a vocabulary on one side there is nothing to compare.
        if written.get(name) != value and not (name == "source vocabulary" and None in (value, written.get(name)))
    ]
    if problems:
        raise StoreError("this encoder does not fit the model", where=str(path), hint="\n".join(problems))
