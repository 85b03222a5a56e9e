"""Collectives for trees of tensors and plain values, without pickle."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from lab.training.weights import join_tensors, split_tensors

__all__ = ["all_gather", "broadcast", "pack", "unpack"]


def all_gather(tree: Any) -> list[Any]:
    """Return the trees of all ranks, in the order of ranks."""
    content = pack(tree)
    sizes = [torch.zeros(1, dtype=torch.long) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, torch.tensor([len(content)]))
    # all_gather needs tensors of one size
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(content)] = content
    received = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
    distributed.all_gather(received, padded)
    return [unpack(part[: int(size)]) for part, size in zip(received, sizes, strict=True)]


def broadcast(tree: Any = None) -> Any:
    """Return the tree of rank 0 on every rank."""
    # the size first: receivers must bring a tensor of it
    is_source = distributed.get_rank() == 0
    content = pack(tree) if is_source else torch.zeros(0, dtype=torch.uint8)
    size = torch.tensor([len(content)])
    distributed.broadcast(size, 0)
    content = content if is_source else torch.zeros(int(size), dtype=torch.uint8)
    distributed.broadcast(content, 0)
    return unpack(content)


def pack(tree: Any) -> Tensor:
    """Return a tree of tensors and plain values as bytes: the length of its JSON, the JSON, the tensors."""
    plain, tensors = split_tensors(tree)
    text = json.dumps(plain, allow_nan=False).encode()
    return torch.frombuffer(bytearray(len(text).to_bytes(8, "little") + text + save(tensors)), dtype=torch.uint8)


def unpack(content: Tensor) -> Any:
    """Return the tree that ``pack`` packed."""
    raw = content.numpy().tobytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    return join_tensors(json.loads(raw[8:end]), load(raw[end:]))
