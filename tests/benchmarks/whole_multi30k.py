"""Train one side on the whole of Multi30k, evaluate it and save the result; run as a program.

    python -m tests.benchmarks.whole_multi30k SIDE SEED EPOCHS FOLDER

SIDE is "plain", "float32", "bfloat16" or "joey", of the recurrent model, or one of these behind "transformer-", of
``transformer_tiny`` (Adam at 1e-3 then). All train on the same random batches of 125 pairs, with every step
forced and Adam at 2e-3; the recurrent model is the one of lab that is closest to Joey's, and the Transformers begin
with the same weights, though the output of Joey's has no biases; each side draws its own dropout.
``FOLDER/SIDE-SEED-EPOCHS.json`` holds seconds and tokens of training, the loss of a word of the validation split with
every step forced, and BLEU of its translations by beam search of width 5 (not the plain loop's, which has none).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lab_basics.optimizers import adam
from lab_basics.samplers import Shuffle
from lab_seq2seq.decode import beam_search
from lab_text.parallel import multi30k
from torch import Tensor

from lab.training.cpu import configure_cpu
from tests.benchmarks.joey import JoeyTranslation
from tests.benchmarks.test_sequence_training import (
    AS_JOEYS,
    BATCH,
    PAD,
    THREADS,
    lab_step,
    lowered,
    model_of,
    plain_step,
)
from tests.benchmarks.test_transformer_training import (
    equal_plain,
    lab_loss,
    lowered_loss,
    plain_loss,
    transformer,
)

LR, TRANSFORMER_LR, BEAM, LONGEST, AT_ONCE = 2e-3, 1e-3, 5, 40, 64
STEPS = {
    "plain": plain_step,
    "float32": lab_step,
    "bfloat16": lowered(lab_step),
    "transformer-plain": plain_loss,
    "transformer-float32": lab_loss,
    "transformer-bfloat16": lowered_loss,
}
# lab's Transformer has no step-by-step form that the plain loop could drive, as the recurrent one has
LOSSES = {"transformer-plain": plain_loss, "transformer-float32": lab_loss, "transformer-bfloat16": lab_loss}


def main() -> None:
    """Train, evaluate and save, unless the result exists."""
    side, seed, epochs, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    path = folder / f"{side}-{seed}-{epochs}.json"
    if not path.exists():
        torch.set_num_threads(THREADS)
        configure_cpu()  # for every side: it is not speed that is compared
        path.write_text(json.dumps(_result(side, seed, epochs), indent=1, ensure_ascii=False), encoding="utf-8")


def _result(side: str, seed: int, epochs: int) -> dict[str, Any]:
    data = multi30k(source="fr", target="en")
    torch.manual_seed(seed)
    model = _model(side, data)
    train = model.train if side.endswith("joey") else _trainer(side, model)
    torch.manual_seed(100 + seed)
    result = _trained(train, _batches(data, seed, epochs))
    with torch.no_grad():
        if side.endswith("joey"):
            result["valid_loss"] = _loss(data, model, lambda model, batch: model.loss(batch))
            return {**result, **_bleu(data, lambda source: model.translate(source, BEAM, LONGEST))}
        model.eval()
        result["valid_loss"] = _loss(data, model, LOSSES.get(side, plain_step))
        return result if side.endswith("plain") else {**result, **_bleu(data, lambda source: _searched(model, source))}


def _model(side: str, data: Any) -> Any:
    """Return the model of a side, untrained."""
    if side.startswith("transformer"):
        # All sides begin with the same weights.
        ours = transformer(data)
        if side.endswith("joey"):
            joey = JoeyTranslation(data, lr=TRANSFORMER_LR, model="transformer")
            joey.take(ours)
            return joey
        return equal_plain(ours, data) if side.endswith("plain") else ours
    return JoeyTranslation(data, lr=LR) if side == "joey" else model_of(data, **AS_JOEYS)


def _trainer(side: str, model: Any) -> Callable[[Any], float]:
    rate = TRANSFORMER_LR if side.startswith("transformer") else LR
    optimizer = (torch.optim.Adam if side.endswith("plain") else adam)(model.parameters(), lr=rate)

    def train(batch: Any) -> float:
        loss = STEPS[side](model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return train


def _batches(data: Any, seed: int, epochs: int) -> Iterator[Any]:
    sampler = Shuffle(len(data.train), BATCH, torch.Generator().manual_seed(seed))
    for _ in range(epochs):
        for rows in sampler:
            yield data.train.__getitems__(rows)


def _trained(train: Callable[[Any], float], batches: Iterator[Any]) -> dict[str, Any]:
    started, tokens = time.perf_counter(), 0
    for batch in batches:
        tokens += int((batch.source != PAD).sum() + (batch.target != PAD).sum())
        train(batch)
    return {"seconds": time.perf_counter() - started, "tokens": tokens}


def _loss(data: Any, model: Any, loss: Callable[[Any, Any], Tensor | float]) -> float:
    """Return the mean loss per word of the validation split."""
    total = words = 0.0
    for start in range(0, len(data.valid), BATCH):
        batch = data.valid.__getitems__(list(range(start, min(start + BATCH, len(data.valid)))))
        count = int((batch.target != PAD).sum())
        total += count * float(loss(model, batch))
        words += count
    return total / words


def _searched(model: Any, source: Tensor) -> list[list[int]]:
    return [list(found.ids) for found in beam_search(model, source, BEAM, max_length=LONGEST)]


def _bleu(data: Any, translate: Callable[[Tensor], list[list[int]]]) -> dict[str, Any]:
    from sacrebleu.metrics import BLEU

    order = sorted(range(len(data.valid)), key=lambda row: len(data.valid[row].source))
    found: list[str] = []
    references: list[str] = []
    for start in range(0, len(order), AT_ONCE):
        batch = data.valid.__getitems__(order[start : start + AT_ONCE])
        references += batch.references
        found += _texts(data, translate(batch.source))
    metric = BLEU()
    return {"bleu": metric.corpus_score(found, [references]).score, "signature": str(metric.get_signature())}


def _texts(data: Any, rows: list[list[int]]) -> list[str]:
    ids = torch.full((max(map(len, rows)) + 1, len(rows)), data.eos_id)
    for column, row in enumerate(rows):
        ids[: len(row), column] = torch.tensor(row, dtype=torch.long)
    return list(data.decode(ids))


if __name__ == "__main__":
    main()
