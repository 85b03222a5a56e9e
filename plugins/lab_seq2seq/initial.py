"""Xavier initialization."""

from __future__ import annotations

from collections.abc import Collection, Container

import torch
from torch import nn

from lab.training.rng import part

__all__ = ["draw_by_xavier"]

WORDS_STD = 0.1


@torch.no_grad()
def draw_by_xavier(model: nn.Module, given: Collection[nn.Embedding] = ()) -> None:
    """Initialize the weights of a model as in Glorot & Bengio 2010: uniform, ±√(6 / (inputs + outputs)).

    The gates of a recurrent layer, which torch keeps in one matrix, count one by one; biases become 0. Embeddings are
    expected as N(0, 1) and become N(0, 0.1²), unless their vectors were ``given``. What is neither a matrix nor
    a bias stays as it is. Each part of the model draws from its own stream.
    """
    # By identity: a tied output weight is the embedding, and must not be drawn as a matrix.
    words = {id(module.weight): module for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, child in model.named_children():
        # A stream per part: arms that share a part start it from the same weights.
        with part(name):
            _draw(child, words)
    for embedding in words.values():
        if embedding not in given:
            embedding.weight.mul_(WORDS_STD)


def _draw(parts: nn.Module, left_alone: Container[int]) -> None:
    for module in parts.modules():
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) in left_alone:
                continue
            if weight.dim() == 2:
                # Xavier's bound depends on the size of one gate's matrix; torch stacks the gates.
                for matrix in weight.chunk(len(weight) // module.hidden_size if isinstance(module, nn.RNNBase) else 1):
                    nn.init.xavier_uniform_(matrix)
            elif name.startswith("bias"):
                weight.zero_()
