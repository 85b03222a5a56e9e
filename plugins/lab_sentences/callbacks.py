"""Artifact of a run on texts: confusion matrix, most confident mistakes, weights of words, alignments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lab import Callback
from lab.errors import LabError
from lab.training.data import SequentialSampler, to_device
from lab_sentences.data import TextData

if TYPE_CHECKING:
    from lab import Learner

__all__ = ["ARTEFACT", "LookAtTexts", "word_weights"]

ARTEFACT = "texts.json"


class LookAtTexts(Callback):
    """Write down what a model got wrong on the validation texts, when training ends.

    The artefact ``texts.json``, which the report shows, has the confusion matrix, and the ``count`` most confident
    mistakes (of numbers, the largest errors) with the weight of each word for the prediction: its gradient times its
    embedding. Models with a method ``align``, such as decomposable attention, add the alignment of the words of pairs.

    Args:
        count: number of texts.
    """

    observer = True

    def __init__(self, *, count: int = 12) -> None:
        if count < 1:
            raise LabError(f"count must be at least 1, got {count}", where="callback 'look_at_texts'")
        self.count = count

    def check(self, learner: Learner) -> None:
        if not isinstance(learner.data, TextData) or learner.data.preparation is None:
            raise LabError("the callback 'look_at_texts' needs texts", where=type(learner.data).__name__)

    def after_fit(self, learner: Learner) -> None:
        if learner.folder is None or not learner.is_finished:
            return
        with learner.evaluating():
            content = _content(learner, self.count)
        learner.artefact(ARTEFACT).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _content(learner: Learner, count: int) -> dict[str, Any]:
    data: Any = learner.data
    output, target = _outputs(learner)
    kind = data.preparation.labels.kind
    content: dict[str, Any] = {"kind": kind, "classes": list(data.class_names), "texts": len(target)}
    if kind == "class":
        shares, predicted = output.softmax(1).max(1)
        size = len(data.class_names)
        content["confusion"] = torch.bincount(target * size + predicted, minlength=size**2).view(size, size).tolist()
        badness = torch.where(predicted == target, -1.0, shares)
    elif kind == "number":
        badness = (output.reshape(-1) - target).abs()
    else:
        badness = (output.sigmoid() - target).abs().max(1).values
        # a class on the right side of one half is no mistake
        badness = torch.where(badness > 0.5, badness, -1.0)
    worst = [number for number in badness.argsort(descending=True, stable=True).tolist() if badness[number] >= 0]
    content["mistakes"] = len(worst)
    content["examples"] = [_example(learner, number, output[number]) for number in worst[:count]]
    return content


def _outputs(learner: Learner) -> tuple[Tensor, Tensor]:
    """Return the outputs and targets of the validation texts, on the CPU, in their order."""
    split = learner.data.valid
    outputs, targets = [], []
    for batch in learner.data.loader(split, SequentialSampler(len(split), 128)):
        *inputs, target = to_device(batch, learner.device)
        with torch.no_grad():
            outputs.append(learner.model(*inputs).float().cpu())
        targets.append(target.cpu())
    return torch.cat(outputs), torch.cat(targets)


def _example(learner: Learner, number: int, output: Tensor) -> dict[str, Any]:
    data: Any = learner.data
    *inputs, target = to_device(data.valid[number], learner.device)
    labels = data.preparation.labels
    if labels.kind == "number":
        answer = {"target": f"{target.item():.3g}", "predicted": f"{output.item():.3g}", "confidence": None}
        chosen = 0
    elif labels.kind == "class":
        chosen = int(output.argmax())
        answer = {"target": labels.names[int(target)], "predicted": labels.names[chosen]}
        answer["confidence"] = float(output.softmax(0)[chosen])
    else:
        shares = output.sigmoid()
        chosen = int((shares - target[0].cpu()).abs().argmax())
        wanted = [name for name, value in zip(labels.names, target[0].tolist(), strict=True) if value]
        found = [name for name, share in zip(labels.names, shares.tolist(), strict=True) if share > 0.5]
        answer = {"target": labels.joiner.join(wanted), "predicted": labels.joiner.join(found)}
        answer["confidence"] = max(float(shares[chosen]), 1 - float(shares[chosen]))
    weights = word_weights(learner.model, inputs, chosen)
    example: dict[str, Any] = {**answer, "texts": [data.preparation.shown(each[0].tolist()) for each in inputs]}
    example["weights"] = weights
    if len(inputs) == 2 and callable(getattr(learner.model, "align", None)):
        with torch.no_grad():
            rows = learner.model.align(*inputs).forward[0]  # type: ignore[operator]
        example["alignment"] = [[round(weight, 4) for weight in row] for row in rows.tolist()]
    return example


def word_weights(model: nn.Module, inputs: list[Tensor], chosen: int) -> list[list[float]] | None:
    """Return the weight of each word of one example for one output, or None for a model without ``embedding``.

    The weight is the gradient of the output with respect to the word's embedding times the embedding, summed over its
    features ("gradient × input", Shrikumar et al. 2016, arXiv:1605.01713), as a share of the greatest of the example,
    from -1 to 1. A text that the model does not read has zeros.

    Args:
        model: in evaluation mode.
        inputs: tokens (1, T) of each text.
        chosen: number of the output.
    """
    embedding = getattr(model, "embedding", None)
    if not isinstance(embedding, nn.Module):
        return None
    seen: list[tuple[Tensor, Tensor]] = []

    def record(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # a leaf: gradients of frozen embeddings are asked for, too
        leaf = output.detach().requires_grad_()
        seen.append((given[0], leaf))
        return leaf

    handle = embedding.register_forward_hook(record)
    try:
        # cuDNN computes no gradients of recurrent networks in evaluation mode
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            output = model(*inputs).reshape(-1)[chosen]
            gradients = torch.autograd.grad(output, [leaf for _, leaf in seen], allow_unused=True)
    finally:
        handle.remove()
    weights = []
    for tokens in inputs:
        total = torch.zeros(tokens.shape[1])
        for (given, leaf), gradient in zip(seen, gradients, strict=True):
            if given is tokens and gradient is not None:
                total += (gradient * leaf).sum(2)[0].detach().float().cpu()
        weights.append(total)
    greatest = max(float(each.abs().max()) for each in weights) or 1.0
    return [[round(weight / greatest, 4) for weight in each.tolist()] for each in weights]
