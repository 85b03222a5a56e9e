"""Files of word vectors: word2vec's text and binary formats, and safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from lab.errors import DataError, ParameterError
from lab.files import atomic_path

__all__ = ["export_vectors"]


def export_vectors(words: Sequence[str], vectors: np.ndarray, path: Path) -> None:
    """Write word vectors; the suffix chooses the format.

    ``.vec`` and ``.txt`` are word2vec's text format, which fastText and gensim read; ``.bin`` is its binary format;
    ``.safetensors`` holds a tensor ``vectors`` (V, D) and the words as JSON in its metadata. The file is replaced as a
    whole.

    Args:
        words: V words without blanks, each once.
        vectors: (V, D).
        path: destination.

    Raises:
        DataError: a word is empty, has a blank or occurs twice; no reader could tell where it ends.
        ParameterError: another suffix.
    """
    if bad := next((word for word in words if not word or len(word.split()) != 1 or word != word.strip()), None):
        raise DataError(f"the word {bad!r} has a blank", where=str(path), hint="vector files separate fields by blanks")
    if len(set(words)) != len(words):
        twice = next(word for number, word in enumerate(words) if word in words[:number])
        raise DataError(f"the word '{twice}' occurs twice", where=str(path), hint="give each word one vector")
    values = np.ascontiguousarray(vectors, np.float32)
    suffix = path.suffix.lower()
    if suffix in (".vec", ".txt"):
        content = _text(words, values)
    elif suffix == ".bin":
        content = _binary(words, values)
    elif suffix == ".safetensors":
        content = save({"vectors": torch.from_numpy(values)}, {"words": json.dumps(list(words), ensure_ascii=False)})
    else:
        raise ParameterError(
            f"unknown format '{suffix or path.name}'", where=str(path), hint="use .vec, .bin or .safetensors"
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _text(words: Sequence[str], values: np.ndarray) -> bytes:
    lines = [f"{len(words)} {values.shape[1]}"]
    # nine digits bring every float32 back exactly
    lines += [f"{word} {' '.join(f'{value:.9g}' for value in row)}" for word, row in zip(words, values, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def _binary(words: Sequence[str], values: np.ndarray) -> bytes:
    rows = values.astype("<f4")
    parts = [f"{len(words)} {values.shape[1]}\n".encode()]
    parts += [word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(words, rows, strict=True)]
    return b"".join(parts)
